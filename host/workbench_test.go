package host_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// What a workbench cannot run is refused with the reason.
func TestWorkbenchRefuses(t *testing.T) {
	foreign := &Module{Memories: [][2]int{{1, 1}}}
	foreign.Import("env", "proxy_log", Sig(T(I32, I32, I32), T(I32)))
	for _, name := range []string{"proxy_abi_version_0_2_1", "proxy_on_request_headers"} {
		foreign.Export(name, foreign.Func(Sig(nil, nil), nil))
	}
	for _, test := range []struct{ wasm, want string }{
		{"text", `plugin "x": inspect module: not a Wasm module`},
		{string(foreign.Bytes()), `plugin "x": it is for proxy-wasm, whose plugins have no case files`},
		{string((&Module{Memories: [][2]int{{1, 1}}}).Bytes()), `plugin "x": module: `},
	} {
		_, err := host.OpenWorkbench(t.Context(), host.WorkbenchOptions{ID: "x", Wasm: []byte(test.wasm)})
		require.ErrorContains(t, err, test.want)
	}
}
