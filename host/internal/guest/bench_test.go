package guest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

// still is a call that allocates nothing itself.
type still struct {
	w    abi.Writer[abi.Field]
	hook abi.Hook
}

func (s *still) Encode(scratch []byte) (int, error) {
	s.w.Start(scratch, s.hook, 1)
	s.w.String(abi.FieldRequestID, "00000000-0000-0000-0000-000000000000")
	return s.w.Finish()
}

func (s *still) Decode(result []byte) error {
	_, err := abi.ParseResult(result, s.hook)
	return err
}

func tiny() []byte {
	m := plugin(hook, nil, packed(256, 16))
	m.Data(256, emptyResult(hook))
	return m.Bytes()
}

func TestCallAllocatesNothing(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{}), tiny(), guest.Binding{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &still{hook: hook}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := p.Call(ctx, hook, c); err != nil {
			t.Error(err)
		}
	}))
}

func BenchmarkCall(b *testing.B) {
	e := newEngine(b, guest.Options{CacheDir: filepath.Join(b.TempDir(), "cache")})
	for _, g := range []struct {
		name string
		wasm []byte
		hook abi.Hook
	}{{"tiny", tiny(), hook}, {"go", goGuest(b), abi.HookAuthorize}} {
		b.Run(g.name, func(b *testing.B) {
			p := bind(b, e, g.wasm, guest.Binding{})
			c := &still{hook: g.hook}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Call(ctx, g.hook, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostCall is a call with one capability call in it.
func BenchmarkHostCall(b *testing.B) {
	m := &Module{Memories: [][2]int{{1, 1}}}
	hash := m.Import("wasmgate.crypto.v1", "sha256", Sig(T(I32, I32, I32), T(I32)))
	contract(m)
	m.Data(256, emptyResult(hook))
	m.Export(hook.Export(), m.Func(hookType, nil, I32Const(0), I32Const(32), I32Const(64), Call(hash), Drop, packed(256, 16)))
	p := bind(b, newEngine(b, guest.Options{}), m.Bytes(), guest.Binding{})
	c := &still{hook: hook}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Call(context.Background(), hook, c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInstance makes, configures and closes an instance.
func BenchmarkInstance(b *testing.B) {
	e := newEngine(b, guest.Options{CacheDir: filepath.Join(b.TempDir(), "cache")})
	for _, g := range []struct {
		name string
		wasm []byte
	}{{"tiny", tiny()}, {"go", goGuest(b)}} {
		b.Run(g.name, func(b *testing.B) {
			m, err := e.Compile(context.Background(), "test", g.wasm)
			require.NoError(b, err)
			defer m.Release()
			b.ReportAllocs()
			for b.Loop() {
				p, err := e.Bind(context.Background(), m, guest.Binding{Name: "test"})
				require.NoError(b, err)
				p.Close()
			}
		})
	}
}

// BenchmarkFresh is a call with isolation fresh, beside the same pooled, and the memory of one
// more instance.
func BenchmarkFresh(b *testing.B) {
	e := newEngine(b, guest.Options{CacheDir: filepath.Join(b.TempDir(), "cache")})
	for _, g := range []struct {
		name string
		wasm []byte
		hook abi.Hook
	}{{"tiny", tiny(), hook}, {"go", goGuest(b), abi.HookAuthorize}, {"go json", goGuest(b), abi.HookObserve}} {
		for _, isolation := range []string{model.IsolationPooled, model.IsolationFresh} {
			b.Run(g.name+"/"+isolation, func(b *testing.B) {
				p := bind(b, e, g.wasm, guest.Binding{Isolation: isolation})
				c := &still{hook: g.hook}
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Call(ctx, g.hook, c); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				before := ownMemory(b)
				require.NoError(b, (&nested{still{hook: g.hook}, p, instances}).call())
				b.ReportMetric(float64(ownMemory(b)-before)/(instances-1), "KB/instance")
			})
		}
	}
}

// instances is how many there are when the memory of one is measured.
const instances = 33

// nested is calls that begin while others have not ended, each in an instance of its own.
type nested struct {
	still
	p    *guest.Policy
	left int
}

func (n *nested) call() error {
	n.left--
	_, err := n.p.Call(context.Background(), n.hook, n)
	return err
}

func (n *nested) Encode(scratch []byte) (int, error) {
	if n.left > 0 {
		if err := n.call(); err != nil {
			return 0, err
		}
	}
	return n.still.Encode(scratch)
}

// ownMemory is the memory that this process shares with no other, in KB.
func ownMemory(b *testing.B) int {
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	require.NoError(b, err)
	total := 0
	for line := range strings.Lines(string(text)) {
		var n int
		if _, err := fmt.Sscanf(line, "Private_Dirty: %d kB", &n); err == nil {
			total += n
		}
	}
	return total
}
