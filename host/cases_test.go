package host_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

// TestBuiltinCases runs the case files of every built-in plugin against its Wasm build, in
// the engine that the gateway runs. The plugins' own tests run the same files natively.
func TestBuiltinCases(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	folders, err := filepath.Glob("../plugins/*/testdata")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(folders), 9)
	bench, err := workbench.New(t.Context(), workbench.Options{CacheDir: compiled})
	require.NoError(t, err)
	defer bench.Close(context.Background())
	for _, folder := range folders {
		id := filepath.Base(filepath.Dir(folder))
		wasm, err := os.ReadFile("../cmd/wasmgate/builtin/" + id + ".wasm")
		require.NoError(t, err, "make plugins builds them")
		plugin, err := bench.Open(t.Context(), id, wasm)
		require.NoError(t, err)
		defer plugin.Close()
		files, err := filepath.Glob(folder + "/*.json")
		require.NoError(t, err)
		for _, file := range files {
			cases, err := casefile.Load(file)
			require.NoError(t, err)
			for _, c := range cases {
				t.Run(id+"/"+c.Name, func(t *testing.T) {
					require.NoError(t, plugin.Run(t.Context(), c).Check(c))
				})
			}
		}
	}
}
