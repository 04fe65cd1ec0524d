package guest_test

import (
	"context"
	"path/filepath"
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

// BenchmarkFresh is a call with isolation fresh, and beside it what an instance costs: its
// share of the process's memory after a thousand calls in each of 32.
func BenchmarkFresh(b *testing.B) {
	e := newEngine(b, guest.Options{CacheDir: filepath.Join(b.TempDir(), "cache")})
	for _, g := range []struct {
		name string
		wasm []byte
		hook abi.Hook
	}{{"tiny", tiny(), hook}, {"go", goGuest(b), abi.HookAuthorize}} {
		b.Run(g.name, func(b *testing.B) {
			p := bind(b, e, g.wasm, guest.Binding{Isolation: model.IsolationFresh})
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
