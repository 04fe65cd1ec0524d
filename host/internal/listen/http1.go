package listen

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// serveHTTP1 answers one request after the other, each before the next is parsed, until
// the connection is to be closed, or rests.
func (c *conn) serveHTTP1() (rests bool) {
	for {
		if !c.idling { // who trickles parts of a TLS record does not begin anew with each
			c.enterIdle()
			c.idling = true
		}
		// In this order: Shutdown sets draining first and then looks for idle connections.
		if c.s.draining.Load() && c.reader.Buffered() == 0 {
			return false
		}
		if c.reader.Wait() != nil {
			if rests = c.rested(); rests {
				c.lighten()
			}
			return rests
		}
		c.idling = false
		c.enter(c.s.o.Timeouts.Head)
		if c.resting.Load() != notResting && !c.rested() {
			return false
		}
		if c.light.Load() {
			c.light.Store(false)
		}
		if c.x == nil {
			c.x = exchange.Acquire()
		}
		next := c.serveRequest(c.x)
		c.x.Reset()
		c.reader.Done()
		if next != again {
			if next == lingering {
				c.linger()
			} else if next == aborted {
				c.abort()
			}
			return false
		}
	}
}

// fate is what becomes of a connection after a request.
type fate uint8

const (
	again     fate = iota // the next request
	closing               // nothing more to say
	lingering             // closing while the client may still be sending
	aborted               // the client must see that its answer is not whole
)

// serveRequest reads one request and answers it.
func (c *conn) serveRequest(x *exchange.Exchange) fate {
	c.s.identify(x)
	x.Remote, x.Conn, x.Context = c.remote, c.info, c.ctx
	for {
		err := c.reader.Request(&c.req, &x.Header, c.syntax)
		if err == nil {
			break
		}
		if err == http1.ErrIncomplete {
			err = c.reader.Fill()
		}
		if err != nil {
			return c.refuse(x, err)
		}
	}
	x.Start = time.Now()
	x.Method, x.Authority, x.Target, x.Query = c.req.Method, c.req.Authority, c.req.Path, c.req.Query
	x.EmptyQuery, x.Informational = c.req.EmptyQuery, c.inform
	if c.req.HTTP10 {
		x.Conn, x.Informational = c.asHTTP10(), nil
	}
	c.body.start(c, x)
	if c.req.Framing != http1.None {
		if c.req.Length > c.s.o.Limits.BodyBytes {
			return c.refuse(x, errBodyLarge)
		}
		x.Body, x.BodyLength = &c.body, c.req.Length
	}
	c.enterHandler()
	c.s.handle(c.handler, x)
	next := c.respond(x)
	var err error
	if next == aborted {
		err = errBroken
	}
	c.s.finish(c.handler, x, err)
	return next
}

func (c *conn) asHTTP10() *exchange.Conn {
	if c.info10 == nil {
		c.info10 = c.describe("HTTP/1.0")
	}
	return c.info10
}

// refuse answers what cannot become a request, if somebody is there to be answered, and
// counts it.
func (c *conn) refuse(x *exchange.Exchange, err error) fate {
	refusal, ok := errors.AsType[*http1.Refusal](err)
	switch {
	case ok:
	case c.late.Load():
		refusal = errHeadSlow
	default:
		return closing // the client left in the middle of a head
	}
	c.s.refuse(refusal, c, x)
	c.revive()
	x.Start = time.Now()
	// Whatever method the client meant, it gets a body: HEAD is not known to be one.
	c.req.Method, c.req.HTTP10, c.req.Close = "", false, true
	c.body = clientBody{}
	if next := c.respond(x); next == aborted {
		return aborted
	}
	return lingering
}

// write sends b, in pieces, each of which may take Timeouts.Write.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), 4*bufferSize)
		c.enter(c.s.o.Timeouts.Write * time.Duration((n+bufferSize-1)/bufferSize))
		if _, err := c.rw.Write(b[:n]); err != nil {
			if c.late.Load() {
				c.s.refused(Refused{Remote: c.remote, Protocol: c.info.Protocol, Reason: ReasonWriteSlow})
			}
			return err
		}
		b = b[n:]
	}
	c.enterHandler()
	return nil
}

// sendInformational is Exchange.Informational (RFC 9110 15.2).
func (c *conn) sendInformational(status int, header *exchange.Header) error {
	if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		return errors.New("send informational response: status is not 1xx, or 101")
	}
	if status == http.StatusContinue {
		if !c.body.asks {
			return nil
		}
		c.body.asks = false
	}
	var none exchange.Header
	if header == nil {
		header = &none
	}
	head := http1.ResponseHead{Status: status, Header: header}
	b, err := head.Append(nil)
	if err != nil {
		return err
	}
	return c.write(b)
}

// unread decides what an unread body means for the connection: whether it can be kept
// once the rest was read.
func (c *conn) unread() (keep bool) {
	switch {
	case c.body.Done():
		return true
	case c.body.err != nil || c.body.asks:
		// A client that still waits for 100 may send its body now or not (RFC 9110 10.1.1).
		return false
	}
	return c.body.Left() <= c.s.o.Limits.Drain
}

// drain reads the rest of a body; true when the connection can be used again.
func (c *conn) drain() bool {
	if c.body.Done() {
		return true
	}
	buf := getBuffer()
	defer putBuffer(buf)
	for left := c.s.o.Limits.Drain; left >= 0; {
		n, err := c.body.Read(buf[:])
		left -= int64(n)
		if err != nil {
			return err == io.EOF
		}
	}
	return false
}
