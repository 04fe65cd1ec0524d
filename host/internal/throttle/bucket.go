package throttle

import (
	"math"
	"math/bits"
	"time"
)

const (
	nano     = 1_000_000_000
	fraction = 1_000_000_000_000_000_000 // units of bucket.frac in a token: 1e-9 tokens/s times 1e-9 s
)

type bucket struct {
	key   [16]byte
	whole uint64 // tokens
	frac  uint64 // 1e-18 tokens, less than fraction
	last  int64  // nanoseconds on the store's clock when the level was right
	rate  uint64 // nano-tokens a second
	burst uint64 // tokens
	used  bool
}

// nanoRate is rate in nano-tokens a second. What is not a rate refills nothing.
func nanoRate(rate float64) uint64 {
	switch n := math.Round(rate * nano); {
	case !(n > 0):
		return 0
	case n >= math.MaxUint64:
		return math.MaxUint64
	default:
		return uint64(n)
	}
}

// refill brings the level to now. A now before the last one, as goroutines that read
// the clock before they got the lock bring it, adds nothing.
func (b *bucket) refill(now int64) {
	if now <= b.last {
		return
	}
	hi, lo := bits.Mul64(b.rate, uint64(now-b.last))
	b.last = now
	if hi >= fraction {
		b.whole, b.frac = b.burst, 0
		return
	}
	whole, frac := bits.Div64(hi, lo, fraction)
	var carry uint64
	if frac += b.frac; frac >= fraction { // both below 1e18: the sum does not wrap
		frac, carry = frac-fraction, 1
	}
	b.frac = frac
	if b.whole, carry = bits.Add64(b.whole, whole, carry); carry != 0 {
		b.whole = b.burst
	}
	b.clamp()
}

// adopt takes over the rate and burst of a draw: they change when the configuration
// does. A full bucket stays full, as if it had been dropped; else the level stays, cut
// to the new burst. Call it after refill, so that the time past counts at the old rate.
func (b *bucket) adopt(rate, burst uint64) {
	if b.full() {
		b.whole = max(b.whole, burst)
	}
	b.rate, b.burst = rate, burst
	b.clamp()
}

func (b *bucket) clamp() {
	if b.whole >= b.burst {
		b.whole, b.frac = b.burst, 0
	}
}

func (b *bucket) full() bool { return b.whole >= b.burst }

// wait is how long until the level reaches cost, rounded up; [Never] when it cannot.
func (b *bucket) wait(cost uint64) time.Duration {
	if cost > b.burst || b.rate == 0 {
		return Never
	}
	hi, lo := bits.Mul64(cost-b.whole, fraction)
	lo, borrow := bits.Sub64(lo, b.frac, 0)
	hi -= borrow
	if hi >= b.rate {
		return math.MaxInt64
	}
	ns, rest := bits.Div64(hi, lo, b.rate)
	if rest > 0 && ns < math.MaxInt64 {
		ns++
	}
	return time.Duration(min(ns, math.MaxInt64))
}
