package listen

import (
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// clientBody is a request's body as the handler reads it: with the client's time limits,
// and with 100 (Continue) before the first byte. Its errors are problems, so that whoever
// reads it can pass them on as the answer.
type clientBody struct {
	http1.Body
	c    *conn
	pace pace
	asks bool // the client waits for 100 (Continue)
	err  error
}

func (b *clientBody) start(c *conn, trailer *exchange.Header) {
	b.c, b.err, b.pace = c, nil, pace{}
	b.asks = c.req.Continue
	b.Reset(&c.reader, c.req.Framing, c.req.Length, c.s.o.Limits.BodyBytes, trailer, c.syntax)
}

// Read implements io.Reader.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
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
	if b.pace.tooSlow(n, w.now.Load()-from, c.s.o.Timeouts.BodyRate) && err == nil {
		err = errSlow
	}
	return n, b.fault(err)
}

// fault makes err a problem that stays, and counts it.
func (b *clientBody) fault(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	p, r := bodyProblem(err)
	r.Remote, r.Protocol = b.c.remote, b.c.info.Protocol
	b.c.s.refused(r)
	b.err = p
	return p
}

// errSlow says that a body comes at less than the least rate.
var errSlow = errors.New("body is slower than the least rate")

// bodyProblem is what a client is told of a broken body, and what is counted.
func bodyProblem(err error) (*problem.Problem, Refused) {
	var refusal *http1.Refusal
	switch {
	case errors.As(err, &refusal):
		return problem.New(problem.ForStatus(refusal.Status), err),
			Refused{Status: refusal.Status, Section: refusal.Section, Reason: refusal.Reason}
	case errors.Is(err, exchange.ErrBodyTooLarge):
		return problem.New(problem.RequestTooLarge, err),
			Refused{Status: http.StatusRequestEntityTooLarge, Section: "RFC 9110 15.5.14", Reason: ReasonBodyLarge}
	case errors.Is(err, errSlow) || errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(problem.RequestTimeout, err),
			Refused{Status: http.StatusRequestTimeout, Section: "RFC 9110 15.5.9", Reason: ReasonBodySlow}
	}
	return problem.New(problem.BadRequest, err),
		Refused{Status: http.StatusBadRequest, Section: "RFC 9112 8", Reason: "body is incomplete"}
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
