package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// TestBuiltinCases runs the case files of every built-in plugin against its Wasm build, in
// the engine that the gateway runs. The plugins' own tests run the same files natively.
func TestBuiltinCases(t *testing.T) {
	folders, err := filepath.Glob("../plugins/*/testdata")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(folders), 9)
	double := &double{}
	engine, err := guest.New(t.Context(), guest.Options{CacheDir: compiled, Powers: double.powers()})
	require.NoError(t, err)
	defer engine.Close(context.Background())
	for _, folder := range folders {
		id := filepath.Base(filepath.Dir(folder))
		wasm, err := os.ReadFile("../cmd/wasmgate/builtin/" + id + ".wasm")
		require.NoError(t, err, "make plugins builds them")
		module, err := engine.Compile(t.Context(), id, wasm)
		require.NoError(t, err)
		defer module.Release()
		files, err := filepath.Glob(folder + "/*.json")
		require.NoError(t, err)
		for _, file := range files {
			cases, err := casefile.Load(file)
			require.NoError(t, err)
			for _, c := range cases {
				t.Run(id+"/"+c.Name, func(t *testing.T) {
					double.Host = c.Host
					runCase(t, engine, module, c)
				})
			}
		}
	}
}

func runCase(t *testing.T, engine *guest.Engine, module *guest.Module, c *casefile.Case) {
	config := c.Config
	if config == nil {
		config = []byte("{}")
	}
	policy, err := engine.Bind(t.Context(), module, guest.Binding{Name: module.ID(), Config: config, Grants: granted(c.Host)})
	if c.Error != "" {
		// The schema may have refused it first, in its own words.
		failure, ok := errors.AsType[*guest.Error](err)
		require.True(t, ok && failure.Kind == guest.KindConfig, "config was accepted, want it refused: %v", err)
		return
	}
	require.NoError(t, err)
	defer policy.Close()
	if c.Hook == abi.HookConfigure {
		require.NoError(t, c.Compare(configured(t, module, policy)))
		return
	}
	mask := policy.Mask(c.Hook)
	call := &caseCall{c: c, mask: &mask}
	_, err = policy.Call(t.Context(), c.Hook, call)
	require.NoError(t, err)
	require.NoError(t, call.differs)
}

// configured is the record of what configure said, made again from what came of it.
func configured(t *testing.T, module *guest.Module, policy *guest.Policy) []byte {
	t.Helper()
	var w abi.Writer[abi.ResultField]
	buf := make([]byte, 64<<10)
	w.Start(buf, abi.HookConfigure, 2)
	if identity := policy.Identity(); len(identity) > 0 {
		w.Names(abi.ResultIdentity, identity)
	}
	var without []string
	for hook, mask := range module.Manifest().Hooks {
		now := policy.Mask(hook)
		if mask.Body.Mode != now.Body.Mode || mask.ResponseBody.Mode != now.ResponseBody.Mode {
			without = append(without, hook.String())
		}
	}
	if slices.Sort(without); len(without) > 0 {
		w.Names(abi.ResultWithoutBody, without)
	}
	n, err := w.Finish()
	require.NoError(t, err)
	return buf[:n]
}

// caseCall is the call of one case.
type caseCall struct {
	c       *casefile.Case
	mask    *abi.Mask
	differs error
}

func (c *caseCall) Encode(scratch []byte) (int, error) {
	record, err := c.c.Record(c.mask)
	if err != nil {
		return 0, err
	}
	return copy(scratch, record), nil
}

func (c *caseCall) Decode(result []byte) error {
	c.differs = c.c.Compare(result)
	return nil
}
