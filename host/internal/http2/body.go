package http2

import (
	"io"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// receiving is a request's body between the connection and the handler.
type receiving struct {
	length   int64 // announced; -1 when it was not
	got      int64 // bytes of the frames that have begun
	read     int64 // bytes that the handler has
	window   int64 // what the client may still send
	unacked  int64 // what it may get on top, not announced yet
	chunks   []*chunk
	r, w     int // in the first and last chunk
	buffered int
	asks     bool           // the client waits for 100 (Continue)
	stopped  bool           // nobody reads it any more
	refusal  *http1.Refusal // why no more of the body is taken
	fault    error          // the refusal as the handler gets it
	trailer  exchange.Header
	pace     pace
}

// reset empties r, whose chunks were dropped, and keeps its memory.
func (r *receiving) reset() {
	r.drop()
	r.trailer.Reset()
	*r = receiving{chunks: r.chunks[:0], trailer: r.trailer}
}

// refuseBody says that the body is larger than the limit.
func (st *stream) refuseBody() {
	st.recv.refusal = errBodyLarge
	st.c.unacked += int64(st.recv.drop())
	st.readable.Broadcast()
}

// Read implements io.Reader for the handler. It returns io.EOF with the last bytes; its
// other errors are problems and stay.
func (st *stream) Read(p []byte) (int, error) {
	c, r := st.c, &st.recv
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) == 0 {
		return 0, r.fault
	}
	for {
		switch {
		case r.stopped:
			return 0, exchange.ErrInterrupted
		case r.fault != nil:
			return 0, r.fault
		case r.refusal != nil:
			return 0, st.breakBody(r.refusal)
		case st.err != nil:
			return 0, st.breakBody(errBodyShort)
		}
		if n := st.available(); n > 0 {
			n = r.pop(p[:min(n, len(p))])
			st.credit(n)
			c.flush()
			if st.remoteDone && r.buffered == 0 {
				return n, st.endBody()
			}
			return n, nil
		}
		if st.remoteDone {
			return 0, st.endBody()
		}
		if err := st.awaitBody(); err != nil {
			return 0, err
		}
	}
}

// Interrupt implements exchange.Interrupter. What still comes is taken out of the stream's
// window, which stays closed, and given back to the connection's.
func (st *stream) Interrupt() {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	st.recv.stopped = true
	c.unacked += int64(st.recv.drop())
	c.creditConn()
	c.flushElsewhere()
	st.readable.Broadcast()
}

// available is how many bytes the handler may have. The last one that was announced is
// held back until the end of the request was seen: with it the request would look whole to
// an upstream, and what comes behind it would be the next one (CVE-2026-33555).
func (st *stream) available() int {
	r := &st.recv
	if !st.remoteDone && r.length >= 0 && r.read+int64(r.buffered) == r.length {
		return r.buffered - 1
	}
	return r.buffered
}

// awaitBody waits for more of the body, or for what ends it.
func (st *stream) awaitBody() error {
	c, r := st.c, &st.recv
	if r.asks {
		r.asks = false
		if !st.started {
			st.appendInformational(100, nil)
		}
	}
	if c.out != nil && !c.writing {
		c.flush() // lets others run: look again
		return nil
	}
	o := &c.s.o
	from := o.Now()
	st.readUntil = from + int64(o.Body)
	st.readable.Wait()
	st.readUntil = 0
	if r.stopped {
		return nil
	}
	if st.late || r.pace.tooSlow(r.read+int64(r.buffered), o.Now()-from, o.BodyRate) {
		return st.breakBody(errBodySlow)
	}
	return nil
}

// breakBody makes a refusal what the handler gets from now on.
func (st *stream) breakBody(refusal *http1.Refusal) error {
	st.c.s.refused(&st.c.p, st.x, refusal)
	st.recv.refusal = refusal
	st.recv.fault = problem.New(problem.ForStatus(refusal.Status), refusal)
	st.c.unacked += int64(st.recv.drop())
	return st.recv.fault
}

// endBody gives the handler the trailers with the end.
func (st *stream) endBody() error {
	if r := &st.recv; r.trailer.Len() > 0 {
		r.trailer.CopyTo(&st.x.Trailer)
		r.trailer.Reset()
	}
	return io.EOF
}

// pace measures the rate of a body while the server waits for it: the time that the
// handler takes is not the client's.
type pace struct{ waited int64 } // nanoseconds

// paceGrace is how long a client may be slow at first, in nanoseconds.
const paceGrace = 10e9

// tooSlow counts a wait after which got bytes have come in all.
func (p *pace) tooSlow(got, wait, rate int64) bool {
	p.waited += wait
	return rate > 0 && p.waited > paceGrace && got < (p.waited-paceGrace)/1e9*rate
}
