package cache

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// Options are for [New].
type Options struct {
	// Bytes bounds what is stored, fields and bookkeeping included; 0 is 64 MiB.
	Bytes int64
	// MaxEntry is the longest body that is stored; 0 is 1 MiB. A storable answer up to this
	// length is read whole before it is passed on.
	MaxEntry int64
	// StaleOnError is how long past its freshness an answer may stand in for a failed call
	// or a 500, 502, 503 or 504; 0 is never unless the answer says stale-if-error (RFC 5861).
	StaleOnError time.Duration
	// PassFor is how long requests of one key do not wait for each other after one of them
	// brought an answer that may not be stored; 0 is 2 seconds.
	PassFor time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Cache is a shared response cache, safe for concurrent use. [Cache.Close] ends it.
type Cache struct {
	options Options
	store   *ristretto.Cache[uint64, *entry]

	closing sync.RWMutex // held for reading while something is stored
	closed  bool

	mu      sync.Mutex
	flights map[[32]byte]*flight
	groups  map[string]*Group
}

// Group is a set of entries that are flushed together, such as those of one API.
type Group struct{ generation atomic.Uint64 }

// New makes an empty cache. It starts the two goroutines of ristretto, which Close ends.
func New(o Options) (*Cache, error) {
	if o.Bytes == 0 {
		o.Bytes = 64 << 20
	}
	if o.MaxEntry == 0 {
		o.MaxEntry = 1 << 20
	}
	if o.PassFor == 0 {
		o.PassFor = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	store, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters: max(1<<10, o.Bytes/1024*10), // ten for each entry of 1 KiB, as ristretto advises
		MaxCost:     o.Bytes,
		BufferItems: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("make response cache of %d bytes: %w", o.Bytes, err)
	}
	return &Cache{
		options: o, store: store,
		flights: make(map[[32]byte]*flight), groups: make(map[string]*Group),
	}, nil
}

// Close drops everything and waits for the cache's goroutines. Serve still works after it
// and stores nothing. It is idempotent.
func (c *Cache) Close() {
	c.closing.Lock()
	defer c.closing.Unlock()
	if !c.closed {
		c.closed = true
		c.store.Close()
	}
}

// Group is the group of that name, made when there is none. Groups live as long as the cache.
func (c *Cache) Group(name string) *Group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[name]
	if g == nil {
		g = new(Group)
		c.groups[name] = g
	}
	return g
}

// Flush makes every entry of the named group unusable at once, those that are being
// fetched included.
func (c *Cache) Flush(group string) { c.Group(group).generation.Add(1) }

// Bytes is what is stored now.
func (c *Cache) Bytes() int64 {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed {
		return 0
	}
	return c.options.Bytes - c.store.RemainingCost()
}

// get is the usable entry of key, nil when there is none. The store knows 64 bits of the
// key; the entry knows all.
func (c *Cache) get(key *[32]byte, r *Request) *entry {
	e, ok := c.store.Get(short(key))
	if !ok || e.key != *key || !e.belongs(r) {
		return nil
	}
	return e
}

// put stores e for at most ttl. When it returns, a get finds e unless the store refused it.
func (c *Cache) put(e *entry, ttl time.Duration) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed || ttl <= 0 {
		return
	}
	if c.store.SetWithTTL(short(&e.key), e, e.cost(), ttl) {
		c.store.Wait()
	}
}

func short(key *[32]byte) uint64 { return binary.LittleEndian.Uint64(key[:]) }
