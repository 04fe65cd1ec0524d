package listen

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// clientBody is a request's body as the handler reads it: with the client's time limits,
// and with 100 (Continue) before the first byte. Its errors are problems, so that whoever
// reads it can pass them on as the answer.
type clientBody struct {
	http1.Body
	c    *conn
	x    *exchange.Exchange
	pace pace
	asks bool // the client waits for 100 (Continue)
	err  error

	interrupted atomic.Bool
}

func (b *clientBody) start(c *conn, x *exchange.Exchange) {
	b.c, b.x, b.err, b.pace = c, x, nil, pace{}
	b.asks = c.req.Continue
	b.Reset(&c.reader, c.req.Framing, c.req.Length, c.s.o.Limits.BodyBytes, &x.Trailer, c.syntax)
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.interrupted.Load() {
		return 0, exchange.ErrInterrupted
	}
	c := b.c
	if b.asks {
		b.asks = false
		if b.Buffered() > 0 { // it did not wait (RFC 9110 10.1.1)
			return b.Read(p)
		}
		if err := c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, b.fault(err)
		}
	}
	w := &c.s.warden
	from := w.now.Load()
	c.enter(c.s.o.Timeouts.Body)
	n, err := b.Body.Read(p)
	c.enterHandler()
	if err != nil && err != io.EOF && b.interrupted.Load() {
		b.err = exchange.ErrInterrupted // not the client's fault
		return n, b.err
	}
	if b.pace.tooSlow(n, w.now.Load()-from, c.s.o.Timeouts.BodyRate) && err == nil {
		err = errBodySlow
	}
	return n, b.fault(err)
}

// Interrupt implements exchange.Interrupter.
func (b *clientBody) Interrupt() {
	b.interrupted.Store(true)
	b.c.raw.SetReadDeadline(time.Unix(1, 0))
}

// resume takes back what Interrupt did, so that a rest of known length can be drained. One
// of unknown length is not waited for, since a client that has its answer may never end it
// (RFC 9112 9.5), and a body that was waited for meanwhile stays broken.
func (b *clientBody) resume() {
	if !b.interrupted.Load() {
		return
	}
	b.interrupted.Store(false)
	b.c.raw.SetReadDeadline(time.Time{})
	if b.Left() < 0 && b.err == nil {
		b.err = exchange.ErrInterrupted
	}
}

// fault makes err a problem that stays, and counts it.
func (b *clientBody) fault(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	b.err = b.c.s.bodyFault(err, b.c, b.x)
	return b.err
}

// pace measures the rate of a body while the server waits for it: the time that the
// handler takes is not the client's.
type pace struct {
	got    int64
	waited int64 // nanoseconds
}

// paceGrace is how long a client may be slow at first, in nanoseconds.
const paceGrace = 10e9

// tooSlow counts n bytes that took wait nanoseconds.
func (p *pace) tooSlow(n int, wait, rate int64) bool {
	p.got += int64(n)
	p.waited += wait
	return rate > 0 && p.waited > paceGrace && p.got < (p.waited-paceGrace)/1e9*rate
}
