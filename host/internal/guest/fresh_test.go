package guest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

// said is a request with an id of its own, and a result of any form.
type said struct {
	hook   abi.Hook
	id     string
	result []byte
}

func (s *said) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, s.hook, 3)
	w.String(abi.FieldRequestID, s.id)
	w.Uint(abi.FieldTimeMS, 1)
	w.Uint(abi.FieldSeed, 2)
	return w.Finish()
}

func (s *said) Decode(result []byte) error {
	s.result = append(s.result[:0], result...)
	return nil
}

const idAt = scratchAt + 16 + 3*12 // where an id stands

// Hooks of guests that keep what they see, in goguest too.
const (
	remember = abi.HookIdentify
	window   = abi.HookThrottle
)

// keeping is a guest that keeps each request in its memory, in memory that it grows for
// that, and in a global; and that gives out any part of its memory.
func keeping() []byte {
	m := &Module{Memories: [][2]int{{1, 1000}}}
	contract(m)
	g := m.Global(I64, true, I64Const(0)...)
	copyTo := func(at ...[]byte) []byte { return Cat(Cat(at...), I32Const(scratchAt), I32Const(300), MemoryCopy) }
	m.Export(remember.Export(), m.Func(hookType, nil, copyTo(I32Const(40000)),
		copyTo(I32Const(1), MemoryGrow, I32Const(1<<16), I32Mul),
		I32Const(idAt), []byte{0x29, 0, 0}, GlobalSet(g), I64Const(0)))
	// The global is shown at 0 when there is anything in it.
	m.Export(window.Export(), m.Func(hookType, nil, I32Const(0), GlobalGet(g), I64Store(0), I32Const(idAt), []byte{0x29, 0, 0}))
	return m.Bytes()
}

// memoryOf reads all of a guest's memory through its hook, at most a MiB at a time, each in a
// call of its own.
func memoryOf(t *testing.T, p *guest.Policy) []byte {
	var all []byte
	for at := uint64(0); ; at += 1 << 16 {
		s := &said{hook: window, id: string(binary.LittleEndian.AppendUint64(nil, at<<32|1<<16))}
		if _, err := p.Call(context.Background(), window, s); err != nil {
			require.ErrorContains(t, err, "is outside the memory")
			return all
		}
		all = append(all, s.result...)
	}
}

func TestCanary(t *testing.T) {
	e := newEngine(t, guest.Options{CacheDir: filepath.Join(t.TempDir(), "cache")})
	for name, wasm := range map[string][]byte{"C-like": keeping(), "Go": goGuest(t)} {
		t.Run(name, func(t *testing.T) {
			kept := map[string][]int{}
			for _, isolation := range []string{model.IsolationPooled, model.IsolationFresh} {
				p := bind(t, e, wasm, guest.Binding{Isolation: isolation})
				before := memoryOf(t, p)
				sizes := []int{len(before)}
				for n := range 3 {
					canary := fmt.Sprintf("canary-%d-of-%s", n, isolation)
					_, err := p.Call(context.Background(), remember, &said{hook: remember, id: canary})
					require.NoError(t, err)
					after := memoryOf(t, p)
					sizes = append(sizes, len(after))
					found := bytes.Contains(after, []byte(canary)) || bytes.Contains(after, []byte(canary[:8]))
					require.Equal(t, isolation == model.IsolationPooled, found, "%s shows the canary of the call before", isolation)
					if isolation == model.IsolationFresh {
						require.True(t, bytes.Equal(before, after), "the memory is as it was")
					}
				}
				kept[isolation] = sizes
			}
			require.Less(t, kept[model.IsolationPooled][0], kept[model.IsolationPooled][3], "pooled memory stays grown")
			require.Equal(t, kept[model.IsolationFresh][0], kept[model.IsolationFresh][3])
		})
	}
}

// TestCanaryOfManyCallers: instances of one policy share what none of them wrote to, and no
// more.
func TestCanaryOfManyCallers(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{Instances: 4}), keeping(), guest.Binding{Isolation: model.IsolationFresh})
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			for n := range 200 {
				_, err := p.Call(context.Background(), remember, &said{hook: remember, id: fmt.Sprintf("canary-%d-%d", c, n)})
				s := &said{hook: window, id: string(binary.LittleEndian.AppendUint64(nil, 1<<16))}
				if err == nil {
					_, err = p.Call(context.Background(), window, s)
				}
				if err != nil || bytes.Contains(s.result, []byte("canary")) {
					t.Errorf("caller %d, round %d: error %v, canary %v", c, n, err, err == nil)
					return
				}
			}
		})
	}
	callers.Wait()
}

// changes is each way to change a guest's state: code that changes it, and code that leaves
// an i64 that shows it. What cannot be put back costs the instance.
var changes = map[string]struct {
	change, show []byte
	costs        bool
}{
	"memory":         {Cat(I32Const(50000), I32Const(1), I32Store(0)), Cat(I32Const(50000), I32Load(0), I64FromU), false},
	"all of memory":  {Cat(I32Const(8192), I32Const(1), I32Const(600000-8192), MemoryFill), Cat(I32Const(500000), I32Load(0), I64FromU), false},
	"size of memory": {Cat(I32Const(3), MemoryGrow, Drop), Cat(MemorySize, I64FromU), false},
	"memory that grew": {Cat(I32Const(1), MemoryGrow, I32Const(1<<16), I32Mul, I32Const(7), I32Store(0)),
		Cat(I32Const(1), MemoryGrow, I32Const(1<<16), I32Mul, I32Load(0), MemorySize, I32Add, I64FromU), false},
	"memory to its end": {Cat(I32Const(20), MemoryGrow, Drop), Cat(MemorySize, I64FromU), true},
	"exported i32":      {Cat(I32Const(9), GlobalSet(0)), Cat(GlobalGet(0), I64FromU), false},
	"hidden i64":        {Cat(I64Const(9), GlobalSet(1)), GlobalGet(1), false},
	"hidden f32":        {Cat([]byte{0x43, 1, 2, 3, 4}, GlobalSet(2)), Cat(GlobalGet(2), []byte{0xbc}, I64FromU), false},
	"hidden f64":        {Cat([]byte{0x44, 1, 2, 3, 4, 5, 6, 7, 8}, GlobalSet(3)), Cat(GlobalGet(3), []byte{0xbd}), false},
	"vector":            {Cat([]byte{0xfd, 12}, bytes.Repeat([]byte{1}, 16), GlobalSet(4)), Cat(GlobalGet(4), []byte{0xfd, 29, 1}), true},
	"reference":         {Cat(RefFunc(1), GlobalSet(5)), Cat(GlobalGet(5), []byte{0xd1}, I64FromU), true},
	"entry of a table":  {Cat(I32Const(1), RefFunc(1), []byte{0x26, 0}), Cat(I32Const(1), []byte{0x25, 0}, []byte{0xd1}, I64FromU), true},
	"size of a table":   {Cat(RefNull, I32Const(1), TableGrow, Drop), Cat([]byte{0xfc, 16, 0}, I64FromU), true},
	"dropped segment": {Cat(I32Const(51000), I32Const(0), I32Const(1), []byte{0xfc, 8, 0, 0}, []byte{0xfc, 9, 0}),
		Cat(I32Const(51000), I32Load(0), I64FromU), true},
	"monotonic clock": {Cat(I32Const(52000), I32Const(52100), I32Const(1), I32Const(52200), Call(0), Drop),
		Cat(I32Const(1), I64Const(0), I32Const(52300), Call(1), Drop, I32Const(52300), []byte{0x29, 0, 0}), false},
}

// changing is a guest that shows a part of its state and then changes it.
func changing(change, show []byte, configure ...[]byte) []byte {
	m := &Module{Memories: [][2]int{{10, 30}}, Tables: [][2]int{{4, 9}}, DataCount: true}
	poll := m.Import("wasi_snapshot_preview1", "poll_oneoff", Sig(T(I32, I32, I32, I32), T(I32)))
	m.Import("wasi_snapshot_preview1", "clock_time_get", Sig(T(I32, I64, I32), T(I32)))
	set := -1
	if len(configure) > 0 {
		set = m.Import("wasmgate.kv.v1", "set", Sig(T(I32, I32, I32, I32, I64), T(I32)))
	}
	m.ExportRaw("exported", 3, m.Global(I32, true, I32Const(1)...))
	m.Global(I64, true, I64Const(2)...)
	m.Global(F32, true, 0x43, 0, 0, 0, 0)
	m.Global(F64, true, append([]byte{0x44}, make([]byte, 8)...)...)
	m.Global(V128, true, Cat([]byte{0xfd, 12}, make([]byte, 16))...)
	m.Global(Funcref, true, RefNull...)
	contract(m)
	m.Data(-1, []byte("segment"))
	m.Data(52000+24, []byte{0, 0, 0, 7}) // what to wait for
	m.Elements(0, poll)
	m.Export(hook.Export(), m.Func(hookType, T(I64), show, LocalSet(1), change,
		I32Const(256), LocalGet(1), I64Store(0), packed(256, 8)))
	if set >= 0 {
		m.Export("wg_configure", m.Func(hookType, nil, I32Const(16), I32Const(1), I32Const(16), I32Const(1), I64Const(0), Call(set), Drop,
			Cat(configure...), I64Const(0)))
		m.Data(16, []byte("k"))
	}
	return m.Bytes()
}

func shown(t *testing.T, p *guest.Policy) uint64 {
	s := &said{hook: hook, id: "\x00"}
	_, err := p.Call(context.Background(), hook, s)
	require.NoError(t, err)
	return binary.LittleEndian.Uint64(s.result)
}

func TestFresh(t *testing.T) {
	e := newEngine(t, guest.Options{})
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			wasm := changing(c.change, c.show)
			pooled := bind(t, e, wasm, guest.Binding{})
			p := bind(t, e, wasm, guest.Binding{Isolation: model.IsolationFresh})
			first := shown(t, p)
			require.Equal(t, first, shown(t, pooled))
			if name == "dropped segment" { // taking from it traps
				_, err := pooled.Call(context.Background(), hook, &said{hook: hook})
				require.ErrorContains(t, err, "out of bounds")
			} else {
				require.NotEqual(t, first, shown(t, pooled), "the test sees the change")
			}
			for range 5 {
				require.Equal(t, first, shown(t, p))
				total, idle := p.Stats()
				require.Equal(t, map[bool]int{false: 1}[c.costs], idle)
				require.Equal(t, total, idle)
			}
		})
	}
}

// setting counts the configure calls of changing.
type setting struct {
	guest.KV
	mu    sync.Mutex
	times int
}

func (s *setting) Set(string, string, []byte, time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
	return true
}

// TestFreshInstances: each instance begins where configure ended, by a copy where that is
// possible.
func TestFreshInstances(t *testing.T) {
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			kv := &setting{KV: guest.NewKV(time.Now)}
			e := newEngine(t, guest.Options{Powers: guest.Powers{KV: kv}})
			wasm := changing(Cat(c.change, whenAsked(Unreachable)), c.show, c.change)
			if name == "dropped segment" { // can be dropped but once
				wasm = changing(whenAsked(Unreachable), c.show, c.change)
			}
			p := bind(t, e, wasm, guest.Binding{Isolation: model.IsolationFresh, Grants: model.Grants{KV: []string{"k"}}})
			first := shown(t, p)
			for range 3 {
				_, err := p.Call(context.Background(), hook, &picky{ask{hook: hook}, 1})
				require.ErrorContains(t, err, "unreachable")
				require.Equal(t, first, shown(t, p))
			}
			cannotCopy := c.costs && !strings.HasPrefix(name, "memory")
			kv.mu.Lock()
			defer kv.mu.Unlock()
			require.Equal(t, cannotCopy, kv.times > 1, "configured %d times", kv.times)
		})
	}
}

func TestFreshCallAllocatesNothing(t *testing.T) {
	e := newEngine(t, guest.Options{CacheDir: filepath.Join(t.TempDir(), "cache")})
	for name, g := range map[string]struct {
		wasm []byte
		hook abi.Hook
	}{"tiny": {tiny(), hook}, "Go": {goGuest(t), abi.HookAuthorize}} {
		t.Run(name, func(t *testing.T) {
			p := bind(t, e, g.wasm, guest.Binding{Isolation: model.IsolationFresh})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c := &still{hook: g.hook}
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				if _, err := p.Call(ctx, g.hook, c); err != nil {
					t.Error(err)
				}
			}))
		})
	}
}
