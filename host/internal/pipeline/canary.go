package pipeline

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Canary is a route with another version of a plugin, for part of the requests.
type Canary struct {
	// Takes tells whether x is among them. It is asked once for a request and is safe for
	// concurrent use.
	Takes func(x *exchange.Exchange) bool
	// Route serves them.
	Route *Route
}

// serving is the route that serves x: r, or a canary of it.
func (r *Route) serving(x *exchange.Exchange) *Route {
	for i := range r.Canaries {
		if c := &r.Canaries[i]; c.Takes(x) {
			return c.Route
		}
	}
	return r
}

// Tally counts the decisions of one version of a plugin. It is safe for concurrent use; a
// nil Tally counts nothing.
type Tally struct {
	decisions, denials, failures atomic.Uint64
	// times counts calls by their length: those in place i took less than 2^i microseconds,
	// and not less than half of that.
	times [timeBuckets]atomic.Uint64
}

const timeBuckets = 32

func (t *Tally) decided(denied bool) {
	if t == nil {
		return
	}
	t.decisions.Add(1)
	if denied {
		t.denials.Add(1)
	}
}

// failed counts a decision that was not to be had.
func (t *Tally) failed() {
	if t == nil {
		return
	}
	t.decisions.Add(1)
	t.failures.Add(1)
}

func (t *Tally) took(d time.Duration) {
	if t == nil {
		return
	}
	t.times[min(bits.Len64(uint64(max(d, 0)/time.Microsecond)), timeBuckets-1)].Add(1)
}

// Counts is what a Tally has counted.
type Counts struct {
	// Decisions are all, Denials and Failures among them: failures are traps, exhausted fuel
	// and results that are no good. Kept plans count like calls.
	Decisions, Denials, Failures uint64
	// Calls are those of the guest, and P95 is the time within which 95 of 100 of them
	// ended, rounded up to a power of two of microseconds; 0 without calls.
	Calls uint64
	P95   time.Duration
}

// Counts reads the counters; they go on meanwhile.
func (t *Tally) Counts() Counts {
	c := Counts{Decisions: t.decisions.Load(), Denials: t.denials.Load(), Failures: t.failures.Load()}
	var times [timeBuckets]uint64
	for i := range times {
		times[i] = t.times[i].Load()
		c.Calls += times[i]
	}
	left := c.Calls / 20 // the slowest 5 of 100
	for i := timeBuckets - 1; i >= 0 && c.Calls > 0; i-- {
		if times[i] > left {
			c.P95 = time.Microsecond << i
			break
		}
		left -= times[i]
	}
	return c
}
