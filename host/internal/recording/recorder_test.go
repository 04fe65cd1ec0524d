package recording

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/internal/guest"
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
