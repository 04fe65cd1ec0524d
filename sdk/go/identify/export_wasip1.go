package identify

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

//go:wasmexport wg_identify
func export(n uint32) int64 { return wasmgate.Serve(wire.HookIdentify, n) }
