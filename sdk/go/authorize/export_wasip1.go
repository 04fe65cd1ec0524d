package authorize

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

//go:wasmexport wg_authorize
func export(n uint32) int64 { return wasmgate.Serve(wire.HookAuthorize, n) }
