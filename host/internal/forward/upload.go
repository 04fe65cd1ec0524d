package forward

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// piece is the room for a part of a client's body, as read and as sent.
type piece struct {
	in  [32 << 10]byte
	out []byte
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// past is a deadline that ends every wait at once.
var past = time.Unix(1, 0)

// hint is an informational answer that came while the body was sent.
type hint struct {
	status int
	header exchange.Header
}

// reading is what upload's two goroutines agree on about the client's body: an answer ends
// a Read that waits, but not after the body has ended, when the connection may be at the
// next request.
type reading struct {
	mu   sync.Mutex
	body exchange.Interrupter // nil when it cannot be interrupted, or has ended
}

// interrupt ends the reading.
func (r *reading) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body != nil {
		r.body.Interrupt()
	}
}

// end says that no Read follows.
func (r *reading) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = nil
}

// upload sends head and the client's body as it comes. Meanwhile a goroutine reads the head
// of the answer: one that comes early, or the end of the connection, ends the upload, also
// while it waits for the client (RFC 9110 10.1.1, RFC 9112 9.5), and the connection with it.
func (k *call) upload(c *conn, head []byte) error {
	if err := c.write(head); err != nil {
		return err
	}
	c.watch()
	c.direct, c.armed = true, time.Time{}
	k.deadline(c, time.Time{})
	answered, done := make(chan error, 1), make(chan struct{})
	hints := make(chan *hint, maxInformational) // never full
	body := &reading{}
	body.body, _ = k.x.Body.(exchange.Interrupter)
	copied := *k // k itself stays on the stack of calls without upload
	go func() {  // owned by upload, which waits for done
		defer close(done)
		answered <- copied.readHead(c, func(status int, h *exchange.Header) error {
			one := &hint{status: status}
			h.CopyTo(&one.header)
			hints <- one
			return nil
		})
		c.net.SetWriteDeadline(past) // a write that the upstream does not take any more ends
		body.interrupt()
	}()
	early, sendErr := k.copyBody(c, body, answered, hints)
	body.end()
	err := k.settle(c, answered, early, sendErr)
	<-done
	c.direct, c.armedOut = false, time.Time{}
	if err != nil && k.ctx.Err() != nil {
		return fail(ClientGone, k.ctx.Err())
	}
	if err == nil {
		err = k.pass(hints)
	}
	return err
}

// settle takes what the reading of the head brings, which it ends in time.
func (k *call) settle(c *conn, answered chan error, early bool, sendErr error) error {
	switch {
	case early:
		c.broken = true
		return <-answered
	case sendErr == nil:
		// The request is out: now the upstream's time runs.
		c.total = time.Now().Add(k.timeout())
		wait, kind := k.f.options.FirstByte, TimeoutFirstByte
		if k.timeout() < wait {
			wait, kind = k.timeout(), TimeoutTotal
		}
		k.deadline(c, time.Now().Add(wait))
		err := <-answered
		if isTimeout(err) {
			err = failf(kind, "no answer within %s", wait)
		}
		return err
	case asError(sendErr).Kind == Reset:
		// An upstream that has said its word often closes at once; the word may be there.
		k.deadline(c, time.Now().Add(time.Second))
		if <-answered == nil {
			return nil
		}
	default:
		c.net.SetReadDeadline(past)
		<-answered
	}
	return sendErr
}

// pass hands on the informational answers that have come.
func (k *call) pass(hints chan *hint) error {
	for len(hints) > 0 {
		h := <-hints
		if k.x.Informational == nil {
			continue
		}
		if err := k.x.Informational(h.status, &h.header); err != nil {
			return fail(ClientGone, err)
		}
	}
	return nil
}

// deadline sets the read deadline, and makes sure that the client's going away, which sets
// one too, is not overwritten.
func (k *call) deadline(c *conn, at time.Time) {
	c.net.SetReadDeadline(at)
	if k.ctx.Err() != nil {
		c.net.SetReadDeadline(past)
	}
}

// copyBody sends until the body's end, an error, or a final answer, which is early.
func (k *call) copyBody(c *conn, body *reading, answered chan error, hints chan *hint) (early bool, err error) {
	p := pieces.Get().(*piece)
	defer pieces.Put(p)
	for left := k.length; ; {
		n, bodyErr := k.stream.Read(p.in[:])
		if bodyErr != nil {
			body.end()
		}
		switch {
		case len(answered) > 0 && left != 0, bodyErr == exchange.ErrInterrupted: // and not all is sent
			return true, nil
		case bodyErr != nil && bodyErr != io.EOF:
			return false, bodyError(k.x.Context, bodyErr)
		}
		if err := k.pass(hints); err != nil {
			return false, err
		}
		out := p.in[:n]
		if k.framing == http1.Chunked {
			out = http1.AppendChunk(p.out[:0], out)
			if bodyErr == io.EOF {
				if out, err = http1.AppendLastChunk(out, k.trailer()); err != nil {
					return false, err
				}
			}
			p.out = out
		} else if left -= int64(n); left < 0 || bodyErr == io.EOF && left > 0 {
			return false, bodyError(c.ctx, errLength)
		} else if left == 0 {
			body.end()
		}
		if early, err := c.writeUnless(answered, out); early || err != nil || bodyErr == io.EOF {
			return early, err
		}
	}
}

// writeUnless writes b unless the answer is there or comes meanwhile.
func (c *conn) writeUnless(answered chan error, b []byte) (early bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	// The deadline first: set later it could undo the one that ends a write.
	c.armWrite(time.Now())
	if len(answered) > 0 {
		return true, nil
	}
	if err = c.write(b); err != nil && len(answered) > 0 {
		return true, nil
	}
	return false, err
}

var errLength = errors.New("it has not the announced length")
