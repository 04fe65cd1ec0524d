package throttle

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"
)

// Never is the [Verdict.RetryAfter] of a draw that no waiting will satisfy: it costs
// more than the burst, or the rate is 0.
const Never time.Duration = -1

const (
	shards    = 64 // one bit each in a lock mask
	overflows = 16 // extra buckets a shard for keys that found no room
	sweep     = 8  // buckets looked at for each new one
)

// Options are for [New].
type Options struct {
	// Buckets bounds how many buckets there are; 0 is 1<<20, about 100 bytes each.
	Buckets int
	// Start is the zero of the store's clock; the zero value is now. Times given to Take
	// should carry a monotonic reading when Start does.
	Start time.Time
}

// Draw is what one request takes from one bucket.
type Draw struct {
	// Key is a hash of the policy and its key tuple.
	Key [16]byte
	// Rate is tokens a second, exact to a billionth; 0, negative or NaN: the burst is all there ever is.
	Rate float64
	// Burst is how many tokens the bucket holds, and what it starts with.
	Burst uint64
	// Cost is how many tokens this request takes; 0 takes none and is never refused.
	Cost uint64
}

// Verdict is the answer to a Take.
type Verdict struct {
	// OK says that all draws were taken; otherwise none was.
	OK bool
	// Draw is, after a refusal, the index of the draw that must wait longest.
	Draw int
	// RetryAfter is, after a refusal, when that draw would succeed if nobody else drew; or [Never].
	RetryAfter time.Duration
}

// Store is a bounded set of buckets, safe for concurrent use. It has nothing to close.
type Store struct {
	start  time.Time
	seed   maphash.Seed // so that nobody can aim keys at one shard
	limit  int          // buckets a shard, overflow buckets apart
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	index   map[[16]byte]uint32
	buckets []bucket
	free    []uint32
	hand    int    // where the next sweep begins
	spilled uint64 // draws that went to an overflow bucket or were refused for want of one
	_       [32]byte
}

// New makes an empty store. It starts no goroutine.
func New(o Options) *Store {
	if o.Buckets <= 0 {
		o.Buckets = 1 << 20
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	s := &Store{start: o.Start, seed: maphash.MakeSeed(), limit: max(1, o.Buckets/shards)}
	for i := range s.shards {
		s.shards[i].index = make(map[[16]byte]uint32)
	}
	return s
}

// place is where a taken draw's bucket is.
type place struct {
	shard *shard
	at    uint32
	cost  uint64
}

// Take draws all of draws at now, or none. It is exact: of any number of concurrent
// calls exactly as many succeed as one after the other would. It allocates nothing
// when the buckets exist and there are at most eight of them.
func (s *Store) Take(now time.Time, draws []Draw) Verdict {
	at := int64(now.Sub(s.start))
	var mask uint64
	for i := range draws {
		if draws[i].Cost > 0 {
			mask |= 1 << s.shardOf(&draws[i].Key)
		}
	}
	// Always in ascending order, so that two calls cannot wait for each other.
	for m := mask; m != 0; m &= m - 1 {
		s.shards[bits.TrailingZeros64(m)].mu.Lock()
	}
	verdict := s.take(at, draws)
	for m := mask; m != 0; m &= m - 1 {
		s.shards[bits.TrailingZeros64(m)].mu.Unlock()
	}
	return verdict
}

// take runs under the locks. Each draw is taken as it is met, so that two draws from one
// bucket add up; a bucket touched now is not swept, so places stay right until the end.
func (s *Store) take(now int64, draws []Draw) Verdict {
	taken := make([]place, 0, 8)
	verdict := Verdict{OK: true}
	for i := range draws {
		d := &draws[i]
		if d.Cost == 0 {
			continue
		}
		sh := &s.shards[s.shardOf(&d.Key)]
		wait := Never
		if at, ok := sh.find(d, now, s.limit); ok {
			b := &sh.buckets[at]
			if b.whole >= d.Cost {
				b.whole -= d.Cost
				taken = append(taken, place{sh, at, d.Cost})
				continue
			}
			wait = b.wait(d.Cost)
		} else if rate := nanoRate(d.Rate); rate > 0 && d.Cost <= d.Burst {
			wait = time.Second // no room at all, and nobody knows when: ask again soon
		}
		if verdict.OK || longer(wait, verdict.RetryAfter) {
			verdict = Verdict{Draw: i, RetryAfter: wait}
		}
	}
	if !verdict.OK {
		for _, p := range taken {
			p.shard.buckets[p.at].whole += p.cost
		}
	}
	return verdict
}

func longer(a, b time.Duration) bool { return b != Never && (a == Never || a > b) }

func (s *Store) shardOf(key *[16]byte) uint64 {
	return maphash.Bytes(s.seed, key[:]) % shards
}

// Len is the number of buckets, full ones that were not yet dropped included.
func (s *Store) Len() int {
	n := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += len(sh.index)
		sh.mu.Unlock()
	}
	return n
}

// Spilled is how many draws found no room for a bucket of their own, ever.
func (s *Store) Spilled() uint64 {
	var n uint64
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += sh.spilled
		sh.mu.Unlock()
	}
	return n
}

// find is the place of d's bucket at now: its own, a new one, or the overflow bucket of
// its rate and burst. It reports false when there is room for none.
func (sh *shard) find(d *Draw, now int64, limit int) (uint32, bool) {
	rate := nanoRate(d.Rate)
	if at, ok := sh.index[d.Key]; ok {
		b := &sh.buckets[at]
		b.refill(now)
		b.adopt(rate, d.Burst)
		return at, true
	}
	sh.sweep(now)
	if len(sh.index) < limit {
		return sh.add(d.Key, rate, d.Burst, now), true
	}
	sh.spilled++
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], rate)
	binary.LittleEndian.PutUint64(key[8:], d.Burst)
	if at, ok := sh.index[key]; ok {
		sh.buckets[at].refill(now)
		return at, true
	}
	if len(sh.index) < limit+overflows {
		return sh.add(key, rate, d.Burst, now), true
	}
	return 0, false
}

func (sh *shard) add(key [16]byte, rate, burst uint64, now int64) uint32 {
	var at uint32
	if n := len(sh.free); n > 0 {
		at, sh.free = sh.free[n-1], sh.free[:n-1]
	} else {
		at = uint32(len(sh.buckets))
		sh.buckets = append(sh.buckets, bucket{})
	}
	sh.buckets[at] = bucket{key: key, whole: burst, last: now, rate: rate, burst: burst, used: true}
	sh.index[key] = at
	return at
}

// sweep drops the full ones of the next few buckets. It runs for each new bucket, so the
// table shrinks faster than it grows once keys fall idle, and no call pays for more.
func (sh *shard) sweep(now int64) {
	for range min(sweep, len(sh.buckets)) {
		sh.hand++
		if sh.hand >= len(sh.buckets) {
			sh.hand = 0
		}
		b := &sh.buckets[sh.hand]
		if !b.used || b.last >= now { // the call under way may hold a place in it
			continue
		}
		if b.refill(now); b.full() {
			delete(sh.index, b.key)
			b.used = false
			sh.free = append(sh.free, uint32(sh.hand))
		}
	}
}
