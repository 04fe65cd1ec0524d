package guest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// caller is a guest that imports every power and most of WASI, and calls them as the request's
// id says; steps are the callees' names in their order.
func caller() (wasm []byte, steps []string) {
	m := &Module{Memories: [][2]int{{2, 4}}}
	var callees []Callee
	add := func(module, name string, t Type) {
		callees = append(callees, Callee{Func: m.Import(module, name, t), Type: t})
		steps = append(steps, name)
	}
	types := func(names []string) (out []byte) {
		for _, n := range names {
			out = append(out, map[string]byte{"i32": I32, "i64": I64}[n])
		}
		return out
	}
	for c := range abi.Capabilities() {
		add(c.Module(), c.Name(), Sig(types(c.Params()), types(c.Results())))
	}
	for _, f := range [][2]string{{"args_sizes_get", "ii"}, {"clock_time_get", "iIi"}, {"random_get", "ii"}, {"poll_oneoff", "iiii"}, {"fd_write", "iiii"}, {"fd_read", "iiii"}, {"fd_fdstat_get", "ii"}} {
		name := f[0]
		var t []byte
		for _, c := range f[1] {
			t = append(t, map[rune]byte{'i': I32, 'I': I64}[c])
		}
		add("wasi_snapshot_preview1", name, Sig(t, T(I32)))
	}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|32<<10)))
	const script = scratchAt + 16 + 12 // the id of a request that has nothing else
	m.Export(hook.Export(), m.Func(hookType, T(I32), Script(callees, 1, script), I64Const(0)))
	return m.Bytes(), steps
}

// FuzzCapabilities has a guest call host functions with any words over any memory: what comes
// of it is a status or the guest's own trap, whatever the functions were given.
func FuzzCapabilities(f *testing.F) {
	wasm, steps := caller()
	powers, grants := rich()
	e := newEngine(f, guest.Options{Powers: powers, Logger: slog.New(slog.DiscardHandler)})
	m, err := e.Compile(f.Context(), "fuzz", wasm)
	require.NoError(f, err)
	p, err := e.Bind(f.Context(), m, guest.Binding{Name: "fuzz", Grants: grants, Fuel: 2_000_000, Memory: 256 << 10})
	require.NoError(f, err)
	m.Release()
	f.Cleanup(p.Close)
	for i := range steps {
		for _, words := range [][]uint64{{0, 4, 8192, 100, 0}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), 1}, {131000, 100, 0, 1 << 31, 7}} {
			step := make([]byte, ScriptStep)
			step[0] = byte(i)
			for n, w := range words {
				binary.LittleEndian.PutUint64(step[4+8*n:], w)
			}
			f.Add(append(step, 255))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		script = append(bytes.Clone(script[:min(len(script), 16<<10)]), 255) // so that it ends
		_, err := p.Call(t.Context(), hook, &answering{ask{hook: hook}, script})
		typed(t, err)
		require.NoError(t, probe(p, 255))
	})
}

// probe calls a guest of caller with a script of one step.
func probe(p *guest.Policy, step byte) error {
	_, err := p.Call(context.Background(), hook, &answering{ask{hook: hook}, []byte{step}})
	return err
}

// typed wants an error of the engine's that is no fault of the host's own code.
func typed(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	fault, ok := errors.AsType[*guest.Error](err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, fault.Kind)
	require.NotContains(t, err.Error(), "runtime error:", "a host function failed")
}

// FuzzModule loads, starts and calls whatever the bytes are: it ends within its bounds, with
// an error that has a kind or none.
func FuzzModule(f *testing.F) {
	archives, err := filepath.Glob("testdata/hostile/*.txtar")
	require.NoError(f, err)
	for _, archive := range archives {
		cases, err := Cases(archive)
		require.NoError(f, err)
		for _, c := range cases {
			f.Add(c.Wasm)
		}
	}
	powers, grants := rich()
	e := newEngine(f, guest.Options{Powers: powers, Logger: slog.New(slog.DiscardHandler), MaxModuleBytes: 1 << 20})
	f.Fuzz(func(t *testing.T, wasm []byte) {
		began := time.Now()
		defer func() { require.Less(t, time.Since(began), hostileTime) }()
		m, err := e.Compile(t.Context(), "fuzz", wasm)
		typed(t, err)
		if err != nil {
			require.Less(t, len(err.Error()), 64<<10)
			return
		}
		defer m.Release()
		p, err := e.Bind(t.Context(), m, guest.Binding{Name: "fuzz", Memory: hostileMemory, Fuel: 100_000, Grants: grants})
		typed(t, err)
		if err != nil {
			return
		}
		defer p.Close()
		for h := range abi.Hooks() {
			if h == abi.HookConfigure || !p.Has(h) {
				continue
			}
			for id := range 2 {
				used, err := p.Call(t.Context(), h, &picky{ask{hook: h}, byte(id)})
				typed(t, err)
				require.LessOrEqual(t, used, uint64(100_000))
			}
		}
	})
}
