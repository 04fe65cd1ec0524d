package forward

import (
	"errors"
	"io"
	"sync"
	"time"

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

// upload sends head and the client's body as it comes. Meanwhile a goroutine waits for the
// answer: one that comes early ends the upload, and the connection with it.
func (k *call) upload(c *conn, head []byte) error {
	if err := c.write(head); err != nil {
		return err
	}
	c.watch()
	c.direct, c.armed = true, time.Time{}
	k.deadline(c, time.Time{})
	answered, done := make(chan error, 1), make(chan struct{})
	go func() { // owned by upload, which waits for done
		defer close(done)
		answered <- c.reader.Fill()
		c.net.SetWriteDeadline(past) // a write that the upstream does not take any more ends
	}()
	early, readErr, sendErr := k.copyBody(c, answered)
	var err error
	switch {
	case early:
		c.broken, err = true, readErr
	case sendErr == nil:
		// The request is out: now the upstream's time runs.
		c.total = time.Now().Add(k.timeout())
		wait, kind := k.f.options.FirstByte, TimeoutFirstByte
		if k.timeout() < wait {
			wait, kind = k.timeout(), TimeoutTotal
		}
		k.deadline(c, time.Now().Add(wait))
		if err = <-answered; isTimeout(err) {
			err = failf(kind, "no answer within %s", wait)
		}
	case asError(sendErr).Kind == Reset:
		// An upstream that has said its word often closes at once; the word may be there.
		k.deadline(c, time.Now().Add(time.Second))
		if err = <-answered; err != nil {
			err = sendErr
		}
	default:
		c.net.SetReadDeadline(past)
		<-answered
		err = sendErr
	}
	<-done
	c.direct, c.armedOut = false, time.Time{}
	if err != nil && k.ctx.Err() != nil {
		return fail(ClientGone, k.ctx.Err())
	}
	c.got = err == nil
	return err
}

// deadline sets the read deadline, and makes sure that the client's going away, which sets
// one too, is not overwritten.
func (k *call) deadline(c *conn, at time.Time) {
	c.net.SetReadDeadline(at)
	if k.ctx.Err() != nil {
		c.net.SetReadDeadline(past)
	}
}

// copyBody sends until the body's end, an error, or an answer: early then, and readErr is
// how the reading of it went.
func (k *call) copyBody(c *conn, answered chan error) (early bool, readErr, sendErr error) {
	p := pieces.Get().(*piece)
	defer pieces.Put(p)
	for left := k.length; ; {
		n, bodyErr := k.stream.Read(p.in[:])
		if len(answered) > 0 {
			return true, <-answered, nil
		}
		if bodyErr != nil && bodyErr != io.EOF {
			return false, nil, bodyError(k.x.Context, bodyErr)
		}
		out := p.in[:n]
		if k.framing == http1.Chunked {
			out = http1.AppendChunk(p.out[:0], out)
			if bodyErr == io.EOF {
				var err error
				if out, err = http1.AppendLastChunk(out, &k.x.Trailer); err != nil {
					return false, nil, err
				}
			}
			p.out = out
		} else if left -= int64(n); left < 0 || bodyErr == io.EOF && left > 0 {
			return false, nil, bodyError(nil, errLength)
		}
		if early, readErr, err := c.writeUnless(answered, out); early || err != nil {
			return early, readErr, err
		}
		if bodyErr == io.EOF {
			return false, nil, nil
		}
	}
}

// writeUnless writes b unless the answer is there or comes meanwhile.
func (c *conn) writeUnless(answered chan error, b []byte) (early bool, readErr, err error) {
	if len(b) == 0 {
		return false, nil, nil
	}
	// The deadline first: set later it could undo the one that ends a write.
	c.armWrite(time.Now())
	if len(answered) > 0 {
		return true, <-answered, nil
	}
	if err = c.write(b); err != nil && len(answered) > 0 {
		return true, <-answered, nil
	}
	return false, nil, err
}

var errLength = errors.New("it has not the announced length")
