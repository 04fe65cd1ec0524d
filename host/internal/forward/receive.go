package forward

import (
	"io"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// receive reads the answer whose head has been read. It gives c back when nothing of the
// answer is left to read; else the Stream does.
func (k *call) receive(c *conn) error {
	now := time.Now()
	k.Latency = now.Sub(k.start)
	p, resp := &c.resp, &k.x.Response
	resp.Status, resp.Length = p.Status, p.Length
	for i := range c.header.Len() {
		f := c.header.At(i)
		resp.Header.AppendCopy(f.Name, f.Value)
	}
	c.expect(k.f.options.Idle, TimeoutIdle)
	c.body.Reset(&c.reader, p.Framing, p.Length, -1, &c.trailer, &k.f.limits)
	switch {
	case p.Framing == http1.None:
		resp.Body = nil
	case p.Framing == http1.Fixed && p.Length <= smallBody:
		body := resp.Room(int(p.Length))
		if whole, ok := c.body.Whole(); ok {
			copy(body, whole)
		} else if err := readSmall(c, body); err != nil {
			return err
		}
		resp.Body = body
	default:
		return k.receiveStream(c, now)
	}
	c.release(now)
	return nil
}

// readHead reads up to the final head and hands 1xx to inform (RFC 9110 15.2). 100 (Continue)
// tells nothing: the body goes out anyway.
func (k *call) readHead(c *conn, inform func(status int, h *exchange.Header) error) error {
	for n := 0; ; {
		err := c.reader.Response(&c.resp, &c.header, k.Method, &k.f.limits)
		switch {
		case err == http1.ErrIncomplete:
			if c.reader.Buffered() > 0 {
				c.expect(k.f.options.Idle, TimeoutIdle)
			}
			if err := c.reader.Fill(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case c.resp.Status >= 200:
			return nil
		}
		if n++; n > maxInformational {
			return failf(Protocol, "more than %d informational answers", maxInformational)
		}
		if c.resp.Status == 100 || inform == nil {
			continue
		}
		if err := inform(c.resp.Status, &c.header); err != nil {
			return fail(ClientGone, err)
		}
	}
}

// readSmall reads the whole of a body of len(p) bytes.
func readSmall(c *conn, p []byte) error {
	for n := 0; ; {
		m, err := c.body.Read(p[n:])
		n += m
		switch {
		case err == io.EOF && n == len(p):
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// receiveStream answers with a stream, unless all of the body is there already.
func (k *call) receiveStream(c *conn, now time.Time) error {
	resp := &k.x.Response
	room := resp.Room(smallBody)
	n := 0
	for c.resp.Framing == http1.Chunked && n < len(room) && c.body.Buffered() > 0 {
		m, err := c.body.Read(room[n:])
		n += m
		if err == io.EOF {
			resp.Body, resp.Length = room[:n], int64(n)
			copyFields(&resp.Trailer, &c.trailer)
			if resp.Trailer.Len() > 0 { // only a stream has trailers
				resp.Body, resp.Length, resp.Stream = nil, -1, &stream{rest: room[:n]}
			}
			c.release(now)
			return nil
		}
		if err != nil {
			return err
		}
	}
	c.total = time.Time{}
	resp.Stream = &stream{c: c, rest: room[:n], response: resp}
	return nil
}

func copyFields(dst, src *exchange.Header) {
	for i := range src.Len() {
		f := src.At(i)
		dst.AppendCopy(f.Name, f.Value)
	}
}

// stream is the body of an answer that is still coming. It lets go of its connection at the
// end, so that a late Read cannot touch somebody else's answer.
type stream struct {
	mu       sync.Mutex // guards that c is given back
	c        *conn
	rest     []byte // came with the head
	response *exchange.Response
	err      error
}

// Read reads what is there.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if s.c == nil {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n, err := s.c.body.Read(p)
	switch {
	case err == io.EOF:
		copyFields(&s.response.Trailer, &s.c.trailer)
		s.release()
	case err != nil:
		s.err = asError(err)
		err = s.err
		s.c.broken = true
		s.release()
	}
	return n, err
}

func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c.release(time.Now())
	s.c = nil
}

// Interrupt implements [exchange.Interrupter]: a Read that waits on another goroutine ends
// with an error. The connection is lost; a Read that is at its end keeps it.
func (s *stream) Interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		s.c.net.Close()
	}
}

// Close ends the stream; a connection that has not come to its end is closed.
func (s *stream) Close() error {
	if s.c != nil {
		s.c.broken = true
		s.release()
		s.err = io.ErrClosedPipe
	}
	s.rest = nil
	return nil
}
