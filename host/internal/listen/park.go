package listen

import (
	"runtime"
	"sync/atomic"
	"time"
)

// restAfter is how long a connection is idle before it gives back its buffers and, where
// there is a lot, its goroutine.
const restAfter = 500 * time.Millisecond

// parking is what stands between the goroutine of a connection, which gives itself up, and
// those who want it to go on: the lot when bytes have come, the warden and Shutdown when
// its time is over.
type parking struct {
	resting atomic.Int32 // one of the states below
	light   atomic.Bool  // it has rested since its last request
	parked  atomic.Bool  // no goroutine runs; who swaps it to false starts one
	called  atomic.Bool  // the wait was ended for good
}

// The states of resting.
const (
	notResting int32 = iota
	puttingToRest
	putToRest // the wait ends, or has ended, so that the connection can park
)

// rest ends the wait for a request that phase v is, so that the connection parks. The
// connection leaves the phase before it looks at resting, and rest looks the other way
// round: one of them sees the other.
func (c *conn) rest(v int64) {
	if c.light.Load() || !c.resting.CompareAndSwap(notResting, puttingToRest) {
		return
	}
	if c.phase.Load() != v {
		c.resting.Store(notResting)
		return
	}
	c.raw.SetReadDeadline(past)
	c.resting.Store(putToRest)
}

// rested tells whether a wait that is over was ended for a rest, and lets the next one be.
func (c *conn) rested() bool {
	for c.resting.Load() == puttingToRest {
		runtime.Gosched()
	}
	if !c.resting.CompareAndSwap(putToRest, notResting) || c.called.Load() {
		return false
	}
	c.light.Store(true)
	c.raw.SetReadDeadline(time.Time{})
	return !c.called.Load() // who called just now may have set its deadline before
}

// park gives up the connection's goroutine, whose last act it is.
func (c *conn) park() {
	lot := c.s.lot
	c.parked.Store(true)
	if lot == nil || !lot.add(c) || c.called.Load() {
		c.unpark()
	}
}

// unpark has a new goroutine go on with a parked connection; it does nothing to another.
func (c *conn) unpark() {
	if c.parked.Swap(false) {
		go c.run() // ends when the connection is closed or parked again; s.running waits for it
	}
}

// call ends a wait for good by what makes reads fail.
func (c *conn) call(fail func()) {
	c.called.Store(true)
	fail()
	c.unpark()
}

// past is a deadline that ends every wait at once.
var past = time.Unix(1, 0)
