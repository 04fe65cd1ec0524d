package fuel_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

func goGuest(b *testing.B) []byte {
	out := filepath.Join(b.TempDir(), "go.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "../testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	text, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", text)
	wasm, err := os.ReadFile(out)
	require.NoError(b, err)
	return wasm
}

// branchy compiles the branchy work of a language with its toolchain.
func branchy(b *testing.B, command ...string) []byte {
	out := filepath.Join(b.TempDir(), "branchy.wasm")
	cmd := exec.Command(command[0], append(command[1:], out)...)
	cmd.Dir = "testdata/branchy"
	compilers, err := filepath.Abs("../../../../.cache/languages/bin") // of make setup
	require.NoError(b, err)
	cmd.Env = append(os.Environ(), "PATH="+compilers+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if cmd.Err != nil {
		cmd.Path, cmd.Err = filepath.Join(compilers, command[0]), nil
	}
	text, err := cmd.CombinedOutput()
	require.NoError(b, err, "%v: %s", command, text)
	wasm, err := os.ReadFile(out)
	require.NoError(b, err)
	return wasm
}

// tight is loops without calls: sums, and a sum over memory.
func tight() []byte {
	m := &Module{Memories: [][2]int{{2, 2}}}
	m.Export("sum", m.Func(Sig(T(I32), T(I64)), T(I32, I64), Loop(Empty,
		LocalGet(2), LocalGet(1), I64FromU, I64Add, I32Const(0), Drop, []byte{0x21, 2},
		LocalGet(1), I32Const(1), I32Add, LocalTee(1), LocalGet(0), I32LtU, BrIf(0)), LocalGet(2)))
	m.Export("memory", m.Func(Sig(T(I32), T(I64)), T(I32, I32), Loop(Empty,
		LocalGet(2), LocalGet(1), I32Const(0xfffc), I32And, I32Load(0), I32Add, LocalGet(1), I32Mul, []byte{0x21, 2},
		LocalGet(1), I32Const(1), I32Add, LocalTee(1), LocalGet(0), I32LtU, BrIf(0)), LocalGet(2), I64FromU))
	fib := m.Next()
	m.Export("fib", m.Func(Sig(T(I32), T(I64)), nil, LocalGet(0), I32Const(2), I32LtU, If(I64, I64Const(1), Else,
		LocalGet(0), I32Const(1), I32Sub, Call(fib), LocalGet(0), I32Const(2), I32Sub, Call(fib), I64Add)))
	return m.Bytes()
}

// BenchmarkOverhead compares a module with its rewritten self, in turn, and reports the
// ratio of the least times, which a busy machine disturbs least.
func BenchmarkOverhead(b *testing.B) {
	work := map[string]uint64{"tokens": 2000, "sort": 50, "match_paths": 300}
	for _, g := range []struct {
		language string
		wasm     []byte
		calls    map[string]uint64
	}{
		{"tight", tight(), map[string]uint64{"sum": 100_000, "memory": 100_000, "fib": 22}},
		{"Go", goGuest(b), map[string]uint64{"bench_json": 20, "bench_scan": 300, "bench_sort": 10}},
		{"C", branchy(b, "clang", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-debug", "branchy.c", "-o"), work},
		{"Rust", branchy(b, "rustc", "--target=wasm32-unknown-unknown", "-O", "-Cpanic=abort", "-Cstrip=symbols", "--crate-type=cdylib", "branchy.rs", "-o"), work},
		{"AssemblyScript", branchy(b, "asc", "branchy.ts", "-O3", "--runtime", "stub", "--use", "abort=", "--outFile"), work},
	} {
		rewritten, err := fuel.Rewrite(g.wasm, fuel.Options{})
		require.NoError(b, err)
		plain, fuelled := ready(b, g.wasm), ready(b, rewritten)
		for name, n := range g.calls {
			b.Run(g.language+"/"+name, func(b *testing.B) {
				var times [2][]time.Duration
				left := fuelled.ExportedGlobal(fuel.Global)
				used := uint64(0)
				measure := func(i int, f api.Function) {
					began := time.Now()
					_, err := f.Call(context.Background(), n)
					times[i] = append(times[i], time.Since(began))
					require.NoError(b, err)
				}
				f, g := plain.ExportedFunction(name), fuelled.ExportedFunction(name)
				for b.Loop() {
					measure(0, f)
					before := left.Get()
					measure(1, g)
					used = before - left.Get()
				}
				least := func(t []time.Duration) float64 { return float64(slices.Min(t)) }
				b.ReportMetric(least(times[1])/least(times[0]), "ratio")
				b.ReportMetric(least(times[1])/float64(used), "ns/fuel")
				b.ReportMetric(float64(used)/float64(n), "fuel/op")
			})
		}
	}
}

func ready(b *testing.B, wasm []byte) api.Module {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	b.Cleanup(func() { require.NoError(b, r.Close(ctx)) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions())
	require.NoError(b, err)
	if g, ok := m.ExportedGlobal(fuel.Global).(api.MutableGlobal); ok {
		g.Set(1 << 62)
		m.ExportedGlobal(fuel.StackGlobal).(api.MutableGlobal).Set(8 << 20)
	}
	for _, start := range []string{fuel.Start, "_initialize"} {
		if f := m.ExportedFunction(start); f != nil {
			_, err := f.Call(ctx)
			require.NoError(b, err)
		}
	}
	return m
}

func BenchmarkRewrite(b *testing.B) {
	wasm := goGuest(b)
	b.SetBytes(int64(len(wasm)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := fuel.Rewrite(wasm, fuel.Options{})
		require.NoError(b, err)
	}
}
