package recording

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	wasm "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
	"github.com/wasmgate/wasmgate/host/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts are outcomes by their names.
type counts struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counts) count(_, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[outcome]++
}

func (c *counts) of(outcome string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[outcome]
}

// stuck is a recorder whose worker never begins, so that its queue fills, and a policy of it.
func stuck(t *testing.T, record model.Record, random float64) (*Recorder, *Policy, *counts) {
	t.Helper()
	engine, err := guest.New(t.Context(), guest.Options{})
	require.NoError(t, err)
	c := &counts{}
	r := New(Options{Engine: engine, Dir: t.TempDir(), Count: c.count, Random: func() float64 { return random }})
	r.start.Do(func() {})
	t.Cleanup(func() {
		r.Close()
		assert.Zero(t, r.bytes.Load(), "what waited is given up")
		require.NoError(t, engine.Close(t.Context()))
	})
	p := &Policy{recorder: r, id: "p", record: record}
	p.refs.Store(1)
	return r, p, c
}

func TestQueueIsBounded(t *testing.T) {
	r, p, c := stuck(t, model.Record{Sample: 1, Max: 1000}, 0)
	for range maxWaiting + 3 {
		r.enqueue(&Call{policy: p, request: make([]byte, 10)})
	}
	assert.Equal(t, map[string]int{Busy: 3}, c.seen)
	assert.EqualValues(t, maxWaiting+1, p.refs.Load(), "each that waits keeps the module")
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	r, p, c := stuck(t, model.Record{Sample: 1, Max: 1000}, 0)
	for range 20 {
		r.enqueue(&Call{policy: p, request: make([]byte, maxItem)})
	}
	assert.Equal(t, map[string]int{Busy: 4}, c.seen)
	r.enqueue(&Call{policy: p, request: make([]byte, maxItem), result: make([]byte, 1)})
	r.enqueue(&Call{policy: p}) // whose request was too long to be copied
	r.enqueue(&Call{policy: p, request: make([]byte, 10), tape: tape{bytes: maxItem + 1}})
	assert.Equal(t, map[string]int{Busy: 4, Large: 3}, c.seen)
	assert.LessOrEqual(t, r.bytes.Load(), int64(maxBytes))
}

func TestTake(t *testing.T) {
	_, p, _ := stuck(t, model.Record{Sample: 1, Max: 3}, 0.99)
	taken := func(at time.Time) (n int) {
		for range 5 {
			if p.Take(at) != nil {
				n++
			}
		}
		return n
	}
	minute := time.Unix(6000, 0)
	assert.Equal(t, 3, taken(minute))
	assert.Equal(t, 0, taken(minute.Add(59*time.Second)))
	assert.Equal(t, 3, taken(minute.Add(time.Minute)))
	for random, want := range map[float64]int{0.3: 3, 0.5: 0, 0.7: 0} {
		_, p, _ = stuck(t, model.Record{Sample: 0.5, Max: 3}, random)
		assert.Equal(t, want, taken(minute), random)
	}
}

// visitor counts its calls in the store.
func visitor() []byte {
	m := &wasm.Module{Memories: [][2]int{{1, 1}}}
	set := m.Import("wasmgate.kv.v1", "set", wasm.Sig(wasm.T(wasm.I32, wasm.I32, wasm.I32, wasm.I32, wasm.I64), wasm.T(wasm.I32)))
	get := m.Import("wasmgate.kv.v1", "get", wasm.Sig(wasm.T(wasm.I32, wasm.I32, wasm.I32, wasm.I32), wasm.T(wasm.I64)))
	m.ExportRaw("memory", 2, 0)
	m.Data(16, []byte("k"))
	m.Export(abi.Marker, m.Func(wasm.Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(wasm.Sig(nil, wasm.T(wasm.I64)), nil, wasm.I64Const(1024<<32|4096)))
	key := wasm.Cat(wasm.I32Const(16), wasm.I32Const(1))
	m.Export(abi.HookConfigure.Export(), m.Func(wasm.Sig(wasm.T(wasm.I32), wasm.T(wasm.I64)), nil, key, wasm.I32Const(16), wasm.I32Const(1), wasm.I64Const(0), wasm.Call(set), wasm.Drop, wasm.I64Const(0)))
	m.Export(abi.HookGuard.Export(), m.Func(wasm.Sig(wasm.T(wasm.I32), wasm.T(wasm.I64)), nil, key, wasm.I32Const(512), wasm.I32Const(8), wasm.Call(get), wasm.Drop,
		key, wasm.I32Const(512), wasm.I32Const(3), wasm.I64Const(0), wasm.Call(set), wasm.Drop, wasm.I64Const(0)))
	return m.Bytes()
}

// asking is a request with a secret in it.
type asking struct{ n int }

func (a asking) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, abi.HookGuard, 1)
	w.String(abi.FieldPath, fmt.Sprintf("/secret-in-the-path-%d", a.n))
	return w.Finish()
}

func (a asking) Decode([]byte) error { return nil }

func (a asking) Origin(field func(of string, name, value []byte)) (id, query string) {
	field("header", []byte("authorization"), []byte("Bearer secret-in-the-path"))
	return "r", ""
}

// Calls, the worker, and the end of policies and recorder, all at once: calls of a policy that
// was closed are given up, and what is written runs again.
func TestManyCallers(t *testing.T) {
	engine, err := guest.New(t.Context(), guest.Options{})
	require.NoError(t, err)
	c := &counts{}
	dir := t.TempDir()
	r := New(Options{Engine: engine, Dir: dir, Count: c.count, MaxBytes: func() int64 { return 1 << 20 }, Random: func() float64 { return 0 },
		Known: func() Rules { return Rules{Query: []string{"token"}} }, Log: slog.New(slog.DiscardHandler)})
	module, err := engine.Compile(t.Context(), "visitor", visitor())
	require.NoError(t, err)
	binding := guest.Binding{Name: "visitor", Grants: model.Grants{KV: []string{"k"}}, Fuel: 10000}
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for range 3 { // policies come and go as reloads make them
				bound, err := engine.Bind(t.Context(), module, binding)
				if !assert.NoError(t, err) {
					return
				}
				p, err := r.Policy(t.Context(), module, binding, model.Record{Sample: 1, Max: 15})
				if !assert.NoError(t, err) {
					return
				}
				for range 20 {
					if taken := p.Take(time.Unix(0, 0)); taken != nil {
						_, err := taken.Run(t.Context(), bound, abi.HookGuard, asking{n})
						assert.NoError(t, err)
					}
				}
				p.Close()
				bound.Close()
			}
		})
	}
	callers.Wait()
	module.Release()
	recordOne(t, r, engine, binding, c)
	r.Close()
	r.Close()
	assert.Zero(t, r.bytes.Load())
	runAgain(t, dir)
	require.NoError(t, engine.Close(t.Context()))
}

// recordOne calls until a recording is written: calls of policies that were closed are given up.
func recordOne(t *testing.T, r *Recorder, engine *guest.Engine, binding guest.Binding, c *counts) {
	t.Helper()
	module, err := engine.Compile(t.Context(), "visitor", visitor())
	require.NoError(t, err)
	defer module.Release()
	bound, err := engine.Bind(t.Context(), module, binding)
	require.NoError(t, err)
	defer bound.Close()
	p, err := r.Policy(t.Context(), module, binding, model.Record{Sample: 1, Max: 1})
	require.NoError(t, err)
	defer p.Close()
	for minute := int64(0); c.of(Written) == 0; minute++ {
		_, err := p.Take(time.Unix(60*minute, 0)).Run(t.Context(), bound, abi.HookGuard, asking{9})
		require.NoError(t, err)
		runtime.Gosched()
	}
}

// runAgain runs all recordings of the visitor.
func runAgain(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/visitor/*.json")
	require.NoError(t, err)
	assert.NotEmpty(t, files)
	bench, err := workbench.New(t.Context(), workbench.Options{})
	require.NoError(t, err)
	plugin, err := bench.Open(t.Context(), "visitor", visitor())
	require.NoError(t, err)
	for _, file := range files {
		cases, err := casefile.Load(file)
		require.NoError(t, err)
		assert.NoError(t, plugin.Run(t.Context(), cases[0]).Check(cases[0]))
		assert.NotContains(t, string(cases[0].Request()["path"]), "secret-in-the-path")
		calls := cases[0].Host.Calls
		if assert.Len(t, calls, 3, "one of configure, two of the hook") {
			assert.Equal(t, []string{"kv.set", "kv.get", "kv.set"}, []string{calls[0].Call, calls[1].Call, calls[2].Call})
		}
	}
	plugin.Close()
	require.NoError(t, bench.Close(t.Context()))
}

// The newest files stay, within the bound at every moment; files of others are left alone.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	place := filepath.Join(dir, "p")
	open := func() *store { return &store{dir: dir, max: 1000, folders: map[string]*folder{}} }
	names := func() (list []string) {
		entries, err := os.ReadDir(place)
		require.NoError(t, err)
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	s := open()
	for i := range 9 {
		require.NoError(t, s.write("p", fmt.Sprintf("%d", i), []byte(strings.Repeat("x", 300))))
	}
	assert.Equal(t, []string{"6.json", "7.json", "8.json"}, names())
	require.ErrorIs(t, s.write("p", "9", make([]byte, 1001)), errTooLarge)
	assert.Equal(t, []string{"6.json", "7.json", "8.json"}, names())

	require.NoError(t, os.WriteFile(filepath.Join(place, "notes.txt"), make([]byte, 5000), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(place, staged+"1"), nil, 0o600))
	s = open() // by another process
	require.NoError(t, s.write("p", "9", make([]byte, 600)))
	assert.Equal(t, []string{"8.json", "9.json", "notes.txt"}, names())
	require.NoError(t, os.Remove(filepath.Join(place, "8.json"))) // by somebody
	require.NoError(t, s.write("p", "A", make([]byte, 900)))
	assert.Equal(t, []string{"A.json", "notes.txt"}, names())

	require.NoError(t, os.RemoveAll(place))
	require.Error(t, s.write("p", "B", make([]byte, 10)))
	require.NoError(t, s.write("p", "C", make([]byte, 10)))
	assert.Equal(t, []string{"C.json"}, names())
	info, err := os.Stat(filepath.Join(place, "C.json"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
}
