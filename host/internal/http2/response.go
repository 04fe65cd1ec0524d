package http2

import (
	"io"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// refuse makes the refusal the answer.
func (st *stream) refuse() {
	st.c.s.refused(&st.c.p, st.x, st.refusal)
	problem.ForStatus(st.refusal.Status).Problem().Write(st.x)
	st.x.Response.Status = st.refusal.Status
	// What is not worth a request is not worth a wait: without room for the body the head is all.
	c := st.c
	c.mu.Lock()
	if min(st.window, c.window) < int64(len(st.x.Response.Body)) {
		st.x.Response.SetBody(nil)
	}
	c.mu.Unlock()
}

// respond sends the answer; the error says why not all of it.
func (st *stream) respond() (err error) {
	x, c := st.x, st.c
	r := &x.Response
	defer func() {
		if r.Stream != nil {
			r.Stream.Close()
			r.Stream = nil
		}
	}()
	if r.Status < 200 || r.Status > 599 {
		problem.Internal.Problem().Write(x)
	}
	if !writable(&r.Header) {
		// A handler's or upstream's bytes would have split the answer in an HTTP/1.1 client behind us.
		c.s.o.Logger.Error("write response head", "request_id", string(x.ID[:]), "error", http1.ErrUnwritable)
		problem.BadGateway.Problem().Write(x)
	}
	bodyless := x.Method == "HEAD" || r.Status == 204 || r.Status == 304
	whole := bodyless || r.Stream == nil
	ready := whole || buffered(r.Stream)
	c.mu.Lock()
	if err = st.sendHead(bodyless || whole && len(r.Body) == 0); err == nil && whole && !st.localDone {
		err = st.send(r.Body, true)
	}
	if whole || !ready {
		c.flush()
	}
	if r.CloseConnection {
		c.drainLocked()
	}
	c.mu.Unlock()
	if err != nil || whole {
		return err
	}
	return st.copyStream()
}

// buffered tells whether a stream's first bytes are there, so that the head can go with them.
func buffered(r io.Reader) bool {
	b, ok := r.(interface{ Buffered() int })
	return ok && b.Buffered() > 0
}

// copied is how much of a stream is read at once: what makes two full frames.
const copied = 2 * maxData

var pieces = sync.Pool{New: func() any { return new([copied]byte) }}

// copyStream sends the answer's stream, each piece as soon as it is there. What is not as
// long as announced is cut off with a reset, so that nobody takes it for whole.
func (st *stream) copyStream() error {
	r, c := &st.x.Response, st.c
	buf := pieces.Get().(*[copied]byte)
	defer pieces.Put(buf)
	for {
		n, readErr := st.readStream(buf[:])
		eof := readErr == io.EOF
		switch {
		case r.Length >= 0 && (r.Sent+int64(n) > r.Length || eof && r.Sent+int64(n) < r.Length):
			readErr = errCut
		case eof && !trailerWritable(&r.Trailer):
			readErr = errTrailer
		}
		c.mu.Lock()
		err := st.dead()
		trailers := eof && r.Trailer.Len() > 0
		switch {
		case err != nil:
		case readErr != nil && readErr != io.EOF:
			err = readErr
			c.reset(st, codeInternal, err)
		default:
			err = st.send(buf[:n], eof && !trailers)
		}
		if err == nil && trailers {
			err = st.sendTrailers()
		}
		c.flush()
		c.mu.Unlock()
		if err != nil || eof {
			return err
		}
	}
}

// readStream reads from the handler's stream, whose panic costs this answer only.
func (st *stream) readStream(buf []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			st.c.s.o.Logger.Error("read answer: panic", "request_id", string(st.x.ID[:]), "panic", p, "stack", string(debug.Stack()))
			n, err = 0, errPanic
		}
	}()
	return st.x.Response.Stream.Read(buf)
}

// writable tells whether fields can be sent in HTTP/2, and passed on in HTTP/1.1.
func writable(h *exchange.Header) bool {
	for i := range h.Len() {
		if f := h.At(i); http1.CheckField(f.Name, f.Value) != nil {
			return false
		}
	}
	return true
}

func trailerWritable(h *exchange.Header) bool {
	for i := range h.Len() {
		if f := h.At(i); http1.CheckTrailer(f.Name, f.Value) != nil {
			return false
		}
	}
	return true
}

var (
	nameDate   = []byte("date")
	nameLength = []byte("content-length")
)

// sendHead sends the final head, whose fields are writable. c.mu is held.
func (st *stream) sendHead(end bool) error {
	if err := st.awaitRoom(); err != nil {
		return err
	}
	st.started = true
	c, r := st.c, &st.x.Response
	out := c.buffer()
	start := len(out.b)
	b := appendFrameHeader(out.b, 0, frameHeaders, 0, st.id)
	b = c.enc.AppendStatus(c.enc.AppendStart(b), r.Status)
	dated := false
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		switch string(f.Name) {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "content-length", "te", "trailer", "host":
			continue // framing is HTTP/2's own (RFC 9113 8.2.2)
		case "date":
			dated = true
		}
		b = c.enc.AppendField(b, f.Name, f.Value)
	}
	if !dated {
		b = c.enc.AppendField(b, nameDate, append(st.scratch[:0], c.s.o.Date()...))
	}
	if n := st.announced(); n >= 0 {
		b = c.enc.AppendField(b, nameLength, strconv.AppendInt(st.scratch[:0], n, 10))
	}
	st.finishHead(out, b, start, end)
	return nil
}

// announced is the length that the answer's head tells, -1 when it tells none (RFC 9110
// 8.6). Go's clients take a 304 with a length for an answer that was cut short.
func (st *stream) announced() int64 {
	r := &st.x.Response
	switch {
	case r.Status == 204 || r.Status == 304:
		return -1
	case r.Stream != nil || r.Body == nil && st.x.Method == "HEAD":
		return r.Length
	}
	return int64(len(r.Body))
}

// finishHead makes the block in b[start+headerSize:] a HEADERS frame, and what is too
// large for one CONTINUATION frames, and sends them.
func (st *stream) finishHead(out *buffer, b []byte, start int, end bool) {
	c := st.c
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	block := b[start+headerSize:]
	if len(block) <= maxFrame {
		appendFrameHeader(b[:start], len(block), frameHeaders, flags|flagEndHeaders, st.id)
	} else {
		rest := append([]byte(nil), block[maxFrame:]...)
		appendFrameHeader(b[:start], maxFrame, frameHeaders, flags, st.id)
		b = b[:start+headerSize+maxFrame]
		for len(rest) > 0 {
			n, flags := min(len(rest), maxFrame), uint8(0)
			if n == len(rest) {
				flags = flagEndHeaders
			}
			b = append(appendFrameHeader(b, n, frameContinuation, flags, st.id), rest[:n]...)
			rest = rest[n:]
		}
	}
	out.b = b
	if end {
		st.localDone = true
		c.complete(st)
	}
}

// sendTrailers ends the answer with its trailers, which are writable. c.mu is held.
func (st *stream) sendTrailers() error {
	if err := st.awaitRoom(); err != nil {
		return err
	}
	c := st.c
	out := c.buffer()
	start := len(out.b)
	b := c.enc.AppendStart(appendFrameHeader(out.b, 0, frameHeaders, 0, st.id))
	for name, value := range st.x.Response.Trailer.All() {
		b = c.enc.AppendField(b, name, value)
	}
	st.finishHead(out, b, start, true)
	return nil
}

// sendInformational is Exchange.Informational.
func (st *stream) sendInformational(status int, header *exchange.Header) error {
	c := st.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case st.started || status < 100 || status > 199 || status == 101:
		return errInform
	case status == 100 && !st.recv.asks:
		return nil
	case header != nil && !writable(header):
		return http1.ErrUnwritable
	}
	if err := st.awaitRoom(); err != nil {
		return err
	}
	st.recv.asks = st.recv.asks && status != 100
	st.appendInformational(status, header)
	c.flush()
	return nil
}

func (st *stream) appendInformational(status int, header *exchange.Header) {
	c := st.c
	out := c.buffer()
	start := len(out.b)
	b := appendFrameHeader(out.b, 0, frameHeaders, 0, st.id)
	b = c.enc.AppendStatus(c.enc.AppendStart(b), status)
	if header != nil {
		for name, value := range header.All() {
			b = c.enc.AppendField(b, name, value)
		}
	}
	st.finishHead(out, b, start, false)
}
