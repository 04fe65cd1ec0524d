package throttle

import (
	"encoding/binary"
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Unix(1_700_000_000, 0)

func key(n uint64) (k [16]byte) {
	binary.LittleEndian.PutUint64(k[:], n)
	return k
}

func draw(n uint64, rate float64, burst, cost uint64) Draw {
	return Draw{Key: key(n), Rate: rate, Burst: burst, Cost: cost}
}

func TestTake(t *testing.T) {
	type step struct {
		at    time.Duration
		draws []Draw
		want  Verdict
	}
	ok := Verdict{OK: true}
	refused := func(draw int, after time.Duration) Verdict { return Verdict{Draw: draw, RetryAfter: after} }
	one := func(d Draw) []Draw { return []Draw{d} }
	for name, steps := range map[string][]step{
		"starts full and refills": {
			{0, one(draw(1, 2, 2, 1)), ok},
			{0, one(draw(1, 2, 2, 1)), ok},
			{0, one(draw(1, 2, 2, 1)), refused(0, 500*time.Millisecond)},
			{499_999_999, one(draw(1, 2, 2, 1)), refused(0, 1)},
			{500_000_000, one(draw(1, 2, 2, 1)), ok},
			{time.Hour, one(draw(1, 2, 2, 2)), ok},
			{time.Hour, one(draw(1, 2, 2, 1)), refused(0, 500*time.Millisecond)},
		},
		"all or none": {
			{0, []Draw{draw(1, 1, 5, 5), draw(2, 1, 1, 2)}, refused(1, Never)},
			{0, []Draw{draw(1, 1, 5, 5), draw(2, 1, 1, 1)}, ok},
			{0, []Draw{draw(3, 1, 9, 9), draw(1, 1, 5, 5), draw(2, 1, 1, 1)}, refused(1, 5*time.Second)},
			{0, one(draw(3, 1, 9, 9)), ok},
		},
		"one bucket twice": {
			{0, []Draw{draw(1, 1, 5, 3), draw(1, 1, 5, 3)}, refused(1, time.Second)},
			{0, []Draw{draw(1, 1, 5, 3), draw(1, 1, 5, 2)}, ok},
		},
		"no rate": {
			{0, one(draw(1, 0, 1, 1)), ok},
			{1000 * time.Hour, one(draw(1, 0, 1, 1)), refused(0, Never)},
			{1000 * time.Hour, one(draw(1, -4, 1, 1)), refused(0, Never)},
			{1000 * time.Hour, one(draw(1, math.NaN(), 1, 1)), refused(0, Never)},
		},
		"free draws and empty buckets": {
			{0, nil, ok},
			{0, one(draw(1, 1, 0, 0)), ok},
			{0, one(draw(1, 1, 0, 1)), refused(0, Never)},
		},
		"a reload keeps the level": {
			{0, one(draw(1, 1, 10, 8)), ok},
			{0, one(draw(1, 1, 100, 3)), refused(0, time.Second)},
			{0, one(draw(1, 1000, 100, 3)), refused(0, time.Millisecond)},
			{0, one(draw(1, 1, 1, 1)), ok},
			{0, one(draw(1, 1, 10, 1)), refused(0, time.Second)},
		},
		"a full bucket stays full": {
			{0, one(draw(1, 1, 2, 1)), ok},
			{time.Second, one(draw(1, 1, 10, 10)), ok},
		},
		"a clock that runs back gives nothing": {
			{time.Second, one(draw(1, 1, 1, 1)), ok},
			{0, one(draw(1, 1, 1, 1)), refused(0, time.Second)},
			{time.Second, one(draw(1, 1, 1, 1)), refused(0, time.Second)},
		},
		"limits of the numbers": {
			{0, one(draw(1, math.Inf(1), math.MaxUint64, math.MaxUint64)), ok},
			{math.MaxInt64, one(draw(1, math.Inf(1), math.MaxUint64, math.MaxUint64)), ok},
			{math.MaxInt64, one(draw(1, 1e-9, math.MaxUint64, math.MaxUint64)), refused(0, math.MaxInt64)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{Start: start})
			for i, st := range steps {
				require.Equal(t, st.want, s.Take(start.Add(st.at), st.draws), "step %d", i)
			}
		})
	}
}

// naive is the definition: one rational level a key.
type naive struct {
	level, rate, burst *big.Rat
	last               int64
}

func nat(n uint64) *big.Rat { return new(big.Rat).SetInt(new(big.Int).SetUint64(n)) }

func (n *naive) advance(now int64, d Draw) {
	if now > n.last {
		gain := new(big.Rat).Mul(n.rate, big.NewRat(now-n.last, nano))
		n.level.Add(n.level, gain)
		n.last = now
	}
	if n.level.Cmp(n.burst) >= 0 { // full stays full
		n.level.Set(nat(max(20, d.Burst)))
	}
	n.rate, n.burst = new(big.Rat).Quo(nat(nanoRate(d.Rate)), nat(nano)), nat(d.Burst)
	if n.level.Cmp(n.burst) > 0 {
		n.level.Set(n.burst)
	}
}

func TestTakeAgreesWithRationals(t *testing.T) {
	rates := []float64{0, 1e-9, 0.1, 1.0 / 3, 1, 7.77, 1000, 1e9}
	rapid.Check(t, func(t *rapid.T) {
		s, model, now := New(Options{Start: start}), map[[16]byte]*naive{}, int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1, 3, 999, 1e6, 333_333_333, 1e9, 1e13}).Draw(t, "dt")
			var draws []Draw
			for range rapid.IntRange(0, 4).Draw(t, "draws") {
				draws = append(draws, draw(rapid.Uint64Range(0, 3).Draw(t, "key"),
					rapid.SampledFrom(rates).Draw(t, "rate"),
					rapid.Uint64Range(0, 20).Draw(t, "burst"), rapid.Uint64Range(0, 6).Draw(t, "cost")))
			}
			want := true
			saved := map[[16]byte]*big.Rat{}
			for _, d := range draws {
				if d.Cost == 0 {
					continue
				}
				m := model[d.Key]
				if m == nil {
					m = &naive{level: nat(d.Burst), rate: new(big.Rat), burst: nat(d.Burst), last: now}
					model[d.Key] = m
				}
				m.advance(now, d)
				if cost := nat(d.Cost); m.level.Cmp(cost) >= 0 {
					if saved[d.Key] == nil {
						saved[d.Key] = new(big.Rat)
					}
					saved[d.Key].Add(saved[d.Key], cost)
					m.level.Sub(m.level, cost)
				} else {
					want = false
				}
			}
			if !want {
				for k, taken := range saved {
					model[k].level.Add(model[k].level, taken)
				}
			}
			got := s.Take(start.Add(time.Duration(now)), draws)
			if got.OK != want {
				t.Fatalf("take %+v at %d: got %v, want %v", draws, now, got, want)
			}
		}
	})
}

// A client that waits as told is served, and one nanosecond earlier it is not.
func TestRetryAfterIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(Options{Start: start})
		rate := rapid.Float64Range(1e-3, 1e7).Draw(t, "rate")
		burst := rapid.Uint64Range(1, 1e6).Draw(t, "burst")
		cost := rapid.Uint64Range(1, burst).Draw(t, "cost")
		if !s.Take(start, []Draw{draw(1, rate, burst, burst)}).OK {
			t.Fatal("a new bucket is not full")
		}
		wait := s.Take(start, []Draw{draw(1, rate, burst, cost)}).RetryAfter
		if early := s.Take(start.Add(wait-1), []Draw{draw(1, rate, burst, cost)}); early.OK || early.RetryAfter != 1 {
			t.Fatalf("a nanosecond before %s: %+v", wait, early)
		}
		if v := s.Take(start.Add(wait), []Draw{draw(1, rate, burst, cost)}); !v.OK {
			t.Fatalf("after %s: %+v", wait, v)
		}
	})
}

func TestInventedKeysAreBounded(t *testing.T) {
	const limit = 4 * shards
	s := New(Options{Buckets: limit, Start: start})
	known := []Draw{draw(1<<40, 1, 1000, 1)}
	require.True(t, s.Take(start, known).OK)
	admitted := 0
	for i := range uint64(100_000) {
		if s.Take(start, []Draw{draw(i, 1, 1, 1)}).OK {
			admitted++
		}
	}
	require.LessOrEqual(t, s.Len(), limit+shards*overflows)
	require.LessOrEqual(t, admitted, limit+shards, "one burst a bucket and one a shard's overflow bucket")
	require.NotZero(t, s.Spilled())
	require.True(t, s.Take(start, known).OK, "a known key keeps its bucket")

	// Once idle, all are full again and make room.
	later := start.Add(time.Hour)
	spilled := s.Spilled()
	for i := range uint64(1000) {
		require.True(t, s.Take(later.Add(time.Duration(i)*time.Second), []Draw{draw(1<<50+i, 1, 1, 1)}).OK)
	}
	require.Equal(t, spilled, s.Spilled())
}

// Overflow buckets too are bounded: whoever varies the rates as well finds no bucket at all.
func TestInventedRatesAreRefused(t *testing.T) {
	s := New(Options{Buckets: shards, Start: start})
	admitted := 0
	for i := range uint64(50_000) {
		if s.Take(start, []Draw{draw(i, float64(i+1), 1, 1)}).OK {
			admitted++
		}
	}
	require.Equal(t, shards*(1+overflows), s.Len())
	require.Equal(t, s.Len(), admitted)
}

func TestIdleBucketsAreDropped(t *testing.T) {
	s := New(Options{Start: start})
	for i := range uint64(10_000) {
		s.Take(start, []Draw{draw(i, 1, 1, 1)})
	}
	require.Equal(t, 10_000, s.Len())
	for i := range uint64(3000) {
		s.Take(start.Add(time.Minute), []Draw{draw(1<<32+i, 1, 1, 1)})
	}
	require.Less(t, s.Len(), 4000)
}

func TestExactUnderConcurrency(t *testing.T) {
	const workers, calls, burst = 16, 4000, 10_000
	s := New(Options{Start: start})
	var admitted, own atomic.Int64
	var wg sync.WaitGroup
	for w := range uint64(workers) {
		wg.Go(func() { // owned by this test, which waits
			for i := range uint64(calls) {
				// The shared bucket in changing positions, so that lock order matters.
				draws := []Draw{draw(0, 0, burst, 1), draw(100+w, 0, calls, 1), draw(200+i%50, 0, 1<<40, 1)}
				draws[0], draws[i%3] = draws[i%3], draws[0]
				if s.Take(start, draws).OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, burst, admitted.Load())
	for w := range uint64(workers) { // a refusal took nothing from the others
		left := int64(0)
		for s.Take(start, []Draw{draw(100+w, 0, calls, 1)}).OK {
			left++
		}
		own.Add(calls - left)
	}
	require.EqualValues(t, burst, own.Load())
}

// Time runs: what is admitted is the burst and what flowed in, to the token.
func TestExactWhileRefilling(t *testing.T) {
	const workers, ticks = 8, 2000
	s := New(Options{Start: start})
	var clock, admitted atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { // owned by this test, which waits
			for {
				n := clock.Add(1)
				if n > ticks*workers {
					return
				}
				if s.Take(start.Add(time.Duration(n)*time.Millisecond), []Draw{draw(1, 100, 50, 1)}).OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	end := start.Add(ticks * workers * time.Millisecond)
	for s.Take(end, []Draw{draw(1, 100, 50, 1)}).OK {
		admitted.Add(1)
	}
	require.LessOrEqual(t, admitted.Load(), int64(50+ticks*workers/10))
	require.GreaterOrEqual(t, admitted.Load(), int64(ticks*workers/10))
}

func TestTakeAllocatesNothing(t *testing.T) {
	s := New(Options{Start: start})
	draws := []Draw{draw(1, 1e9, 1<<40, 1), draw(2, 5, 1<<40, 1), draw(3, 5, 1<<40, 1), draw(4, 0, 0, 1)}
	now := start
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		s.Take(now, draws[:3])
		s.Take(now, draws)
	}))
}

func BenchmarkTake(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(map[int]string{1: "one", 3: "three"}[n], func(b *testing.B) {
			s := New(Options{Start: start})
			draws := []Draw{draw(1, 1e9, 1<<40, 1), draw(2, 1e9, 1<<40, 1), draw(3, 1e9, 1<<40, 1)}[:n]
			now := start
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(1000)
				if !s.Take(now, draws).OK {
					b.Fatal("refused")
				}
			}
		})
	}
}
