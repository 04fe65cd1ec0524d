package guest_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

// blocking is a guest that makes an outbound call, which the test holds up.
func blocking() []byte {
	m := &Module{Memories: [][2]int{{1, 1}}}
	call := m.Import("wasmgate.http.v1", "call", Sig(T(I32, I32, I32, I32), T(I64)))
	contract(m)
	var w abi.Writer[abi.ResultField]
	record := make([]byte, 512)
	w.Start(record, 0, 1)
	w.String(abi.ResultHTTPURL, "https://host.example/")
	n, err := w.Finish()
	if err != nil {
		panic(err)
	}
	m.Data(8192, record[:n])
	m.Data(256, emptyResult(hook))
	m.Export(hook.Export(), m.Func(hookType, nil,
		I32Const(8192), I32Const(int64(n)), I32Const(16384), I32Const(4096), Call(call), Drop, packed(256, 16)))
	return m.Bytes()
}

// gate is an HTTP that holds calls up until it is opened.
type gate struct {
	inside atomic.Int64
	open   chan struct{}
}

func (g *gate) Do(ctx context.Context, _ guest.Outbound) (guest.Answer, error) {
	g.inside.Add(1)
	defer g.inside.Add(-1)
	select {
	case <-g.open:
		return guest.Answer{Status: 200}, nil
	case <-ctx.Done():
		return guest.Answer{}, ctx.Err()
	}
}

func TestPoolIsBounded(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	e := newEngine(t, guest.Options{Instances: 3, Powers: guest.Powers{HTTP: g}})
	p := bind(t, e, blocking(), guest.Binding{Grants: model.Grants{HTTP: []string{"host.example"}}})
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			if _, err := p.Call(context.Background(), hook, &ask{hook: hook}); err != nil {
				t.Error(err)
			}
		})
	}
	require.Eventually(t, func() bool { return g.inside.Load() == 3 }, 20*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := p.Call(ctx, hook, &ask{hook: hook})
	var fault *guest.Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, guest.KindBusy, fault.Kind)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for range 10 { // they wait in a queue and are served
		calls.Go(func() {
			if _, err := p.Call(context.Background(), hook, &ask{hook: hook}); err != nil {
				t.Error(err)
			}
		})
	}
	close(g.open)
	calls.Wait()
	total, idle := p.Stats()
	require.Equal(t, 3, total)
	require.Equal(t, 3, idle)
}

func TestQueueIsBounded(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	e := newEngine(t, guest.Options{Instances: 1, Powers: guest.Powers{HTTP: g}})
	p := bind(t, e, blocking(), guest.Binding{Grants: model.Grants{HTTP: []string{"host.example"}}})
	var refused, served atomic.Int64
	var calls sync.WaitGroup
	for range 30 {
		calls.Go(func() {
			if _, err := p.Call(context.Background(), hook, &ask{hook: hook}); err != nil {
				refused.Add(1)
			} else {
				served.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return refused.Load() == 13 }, 20*time.Second, time.Millisecond)
	close(g.open)
	calls.Wait()
	require.EqualValues(t, 17, served.Load(), "one at work and sixteen in the queue")
}

func TestCloseWaitsForCalls(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	e := newEngine(t, guest.Options{Powers: guest.Powers{HTTP: g}})
	p := bind(t, e, blocking(), guest.Binding{Grants: model.Grants{HTTP: []string{"host.example"}}})
	done := make(chan error, 1)
	go func() {
		_, err := p.Call(context.Background(), hook, &ask{hook: hook})
		done <- err
	}()
	require.Eventually(t, func() bool { return g.inside.Load() == 1 }, 20*time.Second, time.Millisecond)
	p.Close()
	p.Close()
	_, err := p.Call(context.Background(), hook, &ask{hook: hook})
	require.ErrorContains(t, err, "closed")
	close(g.open)
	require.NoError(t, <-done)
	total, _ := p.Stats()
	require.Zero(t, total)
}

// TestNestedCalls: what a host call sets off may ask the same policy again; that is another
// instance's work, and never the one's that waits.
func TestNestedCalls(t *testing.T) {
	var p *guest.Policy
	depth := 0
	o := guest.Options{Instances: 3, Powers: guest.Powers{HTTP: transport(func(ctx context.Context, _ guest.Outbound) (guest.Answer, error) {
		depth++
		_, err := p.Call(ctx, hook, &ask{hook: hook})
		return guest.Answer{Status: 200}, err
	})}}
	p = bind(t, newEngine(t, o), blocking(), guest.Binding{Grants: model.Grants{HTTP: []string{"host.example"}}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := p.Call(ctx, hook, &ask{hook: hook})
	require.NoError(t, err)
	require.Equal(t, 3, depth)
}

func TestPanicOfTheCallerGivesBack(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{Instances: 1}), tiny(), guest.Binding{})
	for range 3 {
		require.Panics(t, func() { _, _ = p.Call(context.Background(), hook, nil) })
	}
	_, err := p.Call(context.Background(), hook, &still{hook: hook})
	require.NoError(t, err)
}

// TestRecycling has a guest that keeps all memory that it ever got: it is replaced when it
// has nearly all that it may have, but not at every call.
func TestRecycling(t *testing.T) {
	m := plugin(hook, nil, I32Const(15), MemoryGrow, Drop,
		I32Const(8), I32Const(8), I32Load(0), I32Const(1), I32Add, I32Store(0),
		I32Const(256), I32Const(8), I32Load(0), I32Store(12), packed(256, 16))
	m.Data(256, emptyResult(hook))
	p := bind(t, newEngine(t, guest.Options{}), m.Bytes(), guest.Binding{Memory: 1 << 20})
	starts := 0
	for range 2100 {
		seen := 0
		_, err := p.Call(context.Background(), hook, &reading{picky{ask{hook: hook}, 0}, &seen})
		require.NoError(t, err)
		if seen == 1 {
			starts++
		}
	}
	require.Equal(t, 3, starts)
}

// TestHammer has good and evil calls, calls that give up and a policy that is closed
// meanwhile; to be run with -race.
func TestHammer(t *testing.T) {
	e := newEngine(t, guest.Options{Instances: 4})
	wasm := hostileModule(func(*Module) []byte { return Loop(Empty, Br(0)) })
	m, err := e.Compile(context.Background(), "test", wasm)
	require.NoError(t, err)
	p, err := e.Bind(context.Background(), m, guest.Binding{Name: "test", Fuel: 10000})
	require.NoError(t, err)
	m.Release()
	var good, evil atomic.Int64
	var wait sync.WaitGroup
	for w := range 16 {
		wait.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%7+1)*time.Millisecond)
				bad := byte(0)
				if (w+i)%5 == 0 {
					bad = 1
				}
				_, err := p.Call(ctx, hook, &picky{ask{hook: hook}, bad})
				cancel()
				fault, _ := errors.AsType[*guest.Error](err)
				switch {
				case err == nil && bad == 0:
					good.Add(1)
				case fault != nil && fault.Kind == guest.KindFuel && bad == 1:
					evil.Add(1)
				case fault != nil && fault.Kind == guest.KindBusy:
				default:
					t.Errorf("evil %d: %v", bad, err)
				}
			}
		})
	}
	wait.Wait()
	require.Positive(t, good.Load())
	require.Positive(t, evil.Load())
	p.Close()
	total, _ := p.Stats()
	require.Zero(t, total)
}

// TestReloads compiles, binds, calls and closes again and again: nothing may be left.
func TestReloads(t *testing.T) {
	e := newEngine(t, guest.Options{})
	round := func(i int) {
		m := plugin(hook, nil, I32Const(int64(i)), Drop, I64Const(0))
		mod, err := e.Compile(context.Background(), "test", m.Bytes())
		require.NoError(t, err)
		again, err := e.Compile(context.Background(), "test", m.Bytes())
		require.NoError(t, err)
		require.Equal(t, mod.Digest(), again.Digest())
		again.Release()
		p, err := e.Bind(context.Background(), mod, guest.Binding{Name: "test"})
		require.NoError(t, err)
		mod.Release()
		_, err = p.Call(context.Background(), hook, &ask{hook: hook})
		require.NoError(t, err)
		p.Close()
	}
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 { // native code is unmapped by finalizers of wazero's
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 20 {
		round(i)
	}
	before := heap()
	for i := range 300 {
		round(1000 + i)
	}
	after := heap()
	require.Less(t, int64(after)-int64(before), int64(1<<20))
}

func TestCompileIsShared(t *testing.T) {
	e := newEngine(t, guest.Options{})
	wasm := plugin(hook, nil, I64Const(0)).Bytes()
	var wait sync.WaitGroup
	mods := make([]*guest.Module, 8)
	for i := range mods {
		wait.Go(func() {
			m, err := e.Compile(context.Background(), "test", wasm)
			if err != nil {
				t.Error(err)
			}
			mods[i] = m
		})
	}
	wait.Wait()
	for _, m := range mods {
		require.Equal(t, []abi.Hook{hook}, m.Hooks())
		m.Release()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if m, err := e.Compile(ctx, "test", wasm); err == nil { // who compiles does not wait
		m.Release()
	}
}

func TestClosedEngine(t *testing.T) {
	e, err := guest.New(context.Background(), guest.Options{})
	require.NoError(t, err)
	require.NoError(t, e.Close(context.Background()))
	require.NoError(t, e.Close(context.Background()))
	_, err = e.Compile(context.Background(), "test", nil)
	require.ErrorContains(t, err, "closed")
}
