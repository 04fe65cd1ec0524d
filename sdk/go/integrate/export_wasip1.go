package integrate

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

//go:wasmexport wg_integrate
func export(n uint32) int64 { return wasmgate.Serve(wire.HookIntegrate, n) }
