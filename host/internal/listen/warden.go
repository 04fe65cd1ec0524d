package listen

import (
	"net/http"
	"sync/atomic"
	"time"
)

// phase is what a connection may take time for, in one word that its goroutine stores
// and the warden reads:
//
//	> 0  the phase lasts until then, in nanoseconds of the warden's clock; the lowest bit
//	     is set when it is the idle one
//	< 0  a handler runs since then
//	0    nothing is bounded here (HTTP/2 bounds it), or the connection was late
type phase = atomic.Int64

// warden keeps the clock and ends connections that are late.
type warden struct {
	s     *Server
	tick  time.Duration
	epoch time.Time
	now   atomic.Int64           // nanoseconds since epoch, never 0; as of the last tick
	date  atomic.Pointer[string] // RFC 9110 5.6.7, of the last second
	gone  []*conn                // scratch
}

// goneAfter is how long a handler runs before its client is looked after.
const goneAfter = time.Second

func (w *warden) init(s *Server) {
	t := &s.o.Timeouts
	shortest := min(t.Hello, t.Head, t.Body, t.Idle, t.Write)
	w.s, w.epoch = s, time.Now()
	w.tick = min(max(shortest/8, time.Millisecond), 250*time.Millisecond)
	w.look()
}

// run ticks until stop is closed.
func (w *warden) run(stop <-chan struct{}) {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	for n := int64(0); ; n++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		w.look()
		w.endLate()
		if w.s.http2 != nil {
			w.s.http2.Tick()
		}
		if n%max(1, int64(goneAfter/w.tick/2)) == 0 {
			w.cancelGone()
		}
	}
}

// look reads the time.
func (w *warden) look() {
	t := time.Now()
	w.now.Store(int64(t.Sub(w.epoch)) + 2)
	if date := t.UTC().Format(http.TimeFormat); w.date.Load() == nil || *w.date.Load() != date {
		w.date.Store(&date)
	}
}

// until is the phase word for a phase of d from now.
func (w *warden) until(d time.Duration) int64 { return (w.now.Load() + int64(d)) &^ 1 }

func (w *warden) endLate() {
	now := w.now.Load()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	tired := now + int64(w.s.o.Timeouts.Idle-w.s.o.rest) // idle phases that end before
	for _, c := range w.s.conns {
		switch v := c.phase.Load(); {
		case v > 0 && v <= now:
			c.end(v)
		case v > 0 && v&1 == 1 && v < tired:
			c.rest(v)
		}
	}
}

// closeIdle ends the connections that wait for a request.
func (w *warden) closeIdle() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	for _, c := range w.s.conns {
		if v := c.phase.Load(); v > 0 && v&1 == 1 {
			c.end(v)
		}
	}
}

// cancelGone cancels the context of connections whose handler works for a client that
// has closed its side. A client that half-closes on purpose looks the same and loses its
// answer, as with nginx and net/http.
func (w *warden) cancelGone() {
	before := int64(goneAfter) - w.now.Load()
	w.s.mu.Lock()
	w.gone = w.gone[:0]
	for _, c := range w.s.conns {
		if v := c.phase.Load(); v < 0 && v > before {
			w.gone = append(w.gone, c)
		}
	}
	w.s.mu.Unlock()
	for i, c := range w.gone {
		if hungUp(c.raw) {
			c.cancel()
		}
		w.gone[i] = nil
	}
}
