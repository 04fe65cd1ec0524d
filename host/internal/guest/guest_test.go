package guest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask is a call for tests: an empty record but for the time, and what came back.
type ask struct {
	hook   abi.Hook
	time   uint64
	seed   uint64
	size   int // of the request id
	result []byte
	failed error // what Decode says
}

func (a *ask) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, a.hook, 3)
	w.String(abi.FieldRequestID, string(make([]byte, a.size)))
	w.Uint(abi.FieldTimeMS, a.time)
	w.Uint(abi.FieldSeed, a.seed)
	return w.Finish()
}

func (a *ask) Decode(result []byte) error {
	if _, err := abi.ParseResult(result, a.hook); err != nil {
		return err
	}
	a.result = append(a.result[:0], result...)
	return a.failed
}

func newEngine(t testing.TB, o guest.Options) *guest.Engine {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := guest.New(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	return e
}

func bind(t testing.TB, e *guest.Engine, wasm []byte, b guest.Binding) *guest.Policy {
	t.Helper()
	m, err := e.Compile(context.Background(), "test", wasm)
	require.NoError(t, err)
	defer m.Release()
	b.Name = "test"
	p, err := e.Bind(context.Background(), m, b)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

const scratchAt, scratchSize = 1024, 4096

var hookType = Sig(T(I32), T(I64))

// plugin is a module that keeps the contract, with one hook.
func plugin(hook abi.Hook, locals []byte, code ...[]byte) *Module {
	m := &Module{Memories: [][2]int{{1, 1000}}}
	contract(m)
	m.Export(hook.Export(), m.Func(hookType, locals, code...))
	return m
}

// contract adds what every plugin exports.
func contract(m *Module) {
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|scratchSize)))
}

// packed is pointer and length as a hook returns them.
func packed(at, length int64) []byte { return I64Const(at<<32 | length) }

// emptyResult is the record of a hook without fields.
func emptyResult(hook abi.Hook) []byte {
	b := []byte("WGR1\x01\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00")
	binary.LittleEndian.PutUint16(b[12:], uint16(hook))
	return b
}

var goGuestOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "go.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build Go guest: %w\n%s", err, text)
	}
	return os.ReadFile(out)
})

func goGuest(t testing.TB) []byte {
	b, err := goGuestOnce()
	require.NoError(t, err)
	return b
}

func TestGoGuest(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{CacheDir: filepath.Join(t.TempDir(), "cache")}), goGuest(t), guest.Binding{})
	require.True(t, p.Has(abi.HookAuthorize))
	require.False(t, p.Has(abi.HookGuard))
	a := &ask{hook: abi.HookAuthorize}
	used, err := p.Call(context.Background(), abi.HookAuthorize, a)
	require.NoError(t, err)
	require.Equal(t, emptyResult(abi.HookAuthorize), a.result)
	require.Positive(t, used)
	require.Less(t, used, uint64(20000))
	_, err = p.Call(context.Background(), abi.HookGuard, a)
	require.ErrorContains(t, err, "does not export")
}
