package throttle

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

//go:wasmexport wg_throttle
func export(n uint32) int64 { return wasmgate.Serve(wire.HookThrottle, n) }
