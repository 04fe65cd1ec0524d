package listen

import (
	"io"
	"net/http"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// respond sends x.Response and decides on the connection.
func (c *conn) respond(x *exchange.Exchange) fate {
	r := &x.Response
	c.body.resume()
	if c.body.err != nil {
		c.revive() // a body that was late still gets its answer
	}
	if r.Status < 200 || r.Status > 599 {
		problem.Internal.Problem().Write(x)
	}
	keep := c.unread() && !c.req.Close && !r.CloseConnection && !c.s.retiring.Load() && c.ctx.Err() == nil
	buf := getBuffer()
	defer putBuffer(buf)
	out, ok := c.appendHead(buf[:0], x, keep)
	if !ok {
		// A handler's or upstream's bytes would have split the answer.
		c.s.o.Logger.Error("write response head", "request_id", string(x.ID[:]), "error", http1.ErrUnwritable)
		problem.BadGateway.Problem().Write(x)
		out, _ = c.appendHead(buf[:0], x, keep)
	}
	if r.Stream != nil {
		whole := c.stream(out, x)
		r.Stream.Close()
		r.Stream = nil
		if !whole {
			return aborted
		}
		keep = keep && c.head.Framing != http1.UntilClose
	} else {
		body := c.content(r)
		if c.writeWhole(out, body) != nil {
			return aborted
		}
		r.Sent = int64(len(body))
	}
	switch {
	case keep && c.drain():
		return again
	case c.body.Done() && c.reader.Buffered() == 0:
		return closing
	}
	return lingering
}

// content is the body that goes out with r.
func (c *conn) content(r *exchange.Response) []byte {
	if c.req.Method == http.MethodHead || bodyless(r.Status) {
		return nil
	}
	return r.Body
}

// bodyless tells whether answers of that status never have a body (RFC 9110 6.4.1).
func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

// appendHead appends the head of the answer, with the framing that fits it.
func (c *conn) appendHead(dst []byte, x *exchange.Exchange, keep bool) ([]byte, bool) {
	r, h := &x.Response, &c.head
	*h = http1.ResponseHead{Status: r.Status, Header: &r.Header, Date: *c.s.warden.date.Load()}
	length := int64(len(r.Body))
	if r.Stream != nil || r.Body == nil {
		length = r.Length
	}
	switch head := c.req.Method == http.MethodHead; {
	case r.Status == http.StatusNoContent:
	case r.Status == http.StatusNotModified || head:
		if length > 0 || length == 0 && head {
			h.Framing, h.Length = http1.Fixed, length
		}
	case r.Stream == nil:
		h.Framing, h.Length = http1.Fixed, int64(len(r.Body))
	case length >= 0:
		h.Framing, h.Length = http1.Fixed, length
	case c.req.HTTP10:
		h.Framing, keep = http1.UntilClose, false
	default:
		h.Framing = http1.Chunked
	}
	switch {
	case !keep:
		h.Connection = "close"
	case c.req.HTTP10:
		h.Connection = "keep-alive"
	}
	out, err := h.Append(dst)
	return out, err == nil
}

// writeWhole sends a head and a body that is in memory: together when they fit a buffer.
func (c *conn) writeWhole(out, body []byte) error {
	if room := cap(out) - len(out); len(body) > room {
		out, body = append(out, body[:room]...), body[room:]
	} else {
		out, body = append(out, body...), nil
	}
	if err := c.write(out); err != nil {
		return err
	}
	return c.write(body)
}

// A chunk as stream writes it: four digits of size and two line ends around the data.
const (
	maxChunk    = 0x3fff
	chunkBefore = len("3fff\r\n")
	chunkAfter  = len("\r\n")
)

// stream sends the head in out and then r.Stream, each piece as soon as it is there.
// It tells whether the answer is whole.
func (c *conn) stream(out []byte, x *exchange.Exchange) bool {
	r := &x.Response
	if c.req.Method == http.MethodHead || bodyless(r.Status) {
		return c.write(out) == nil
	}
	// The head goes ahead when the first byte may be long in coming (server-sent events).
	if b, ok := r.Stream.(interface{ Buffered() int }); !ok || b.Buffered() == 0 || cap(out)-len(out) < bufferSize/4 {
		if c.write(out) != nil {
			return false
		}
		out = out[:0]
	}
	left := c.head.Length
	for {
		before, after := 0, 0
		if c.head.Framing == http1.Chunked {
			before, after = chunkBefore, chunkAfter
		}
		start := len(out) + before
		n, err := r.Stream.Read(out[start:min(cap(out)-after, start+maxChunk)])
		if n < 0 || c.head.Framing == http1.Fixed && int64(n) > left {
			return false // longer than announced: what follows would pass for the next answer
		}
		left -= int64(n)
		r.Sent += int64(n)
		if before > 0 {
			out = frame(out, start, n)
		} else {
			out = out[:start+n]
		}
		if err == io.EOF {
			return c.endStream(out, left, &r.Trailer)
		}
		if err != nil || c.write(out) != nil {
			return false
		}
		out = out[:0]
	}
}

// frame makes a chunk of the n bytes at out[start:], whose header fits before them.
func frame(out []byte, start, n int) []byte {
	if n == 0 {
		return out
	}
	const hex = "0123456789abcdef"
	size := out[start-chunkBefore : start]
	for i := range 4 {
		size[i] = hex[n>>(12-4*i)&15]
	}
	size[4], size[5] = '\r', '\n'
	return append(out[:start+n], '\r', '\n')
}

// endStream sends what is left after the end of the stream.
func (c *conn) endStream(out []byte, left int64, trailer *exchange.Header) bool {
	switch c.head.Framing {
	case http1.Fixed:
		if left != 0 {
			return false
		}
	case http1.Chunked:
		var err error
		if out, err = http1.AppendLastChunk(out, trailer); err != nil {
			return false
		}
	}
	return c.write(out) == nil
}
