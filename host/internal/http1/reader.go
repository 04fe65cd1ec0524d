package http1

import (
	"io"
	"sync"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Reader is the receiving side of a connection: one buffer in which heads are parsed in
// place and from which bodies are read. The zero value wants [Reader.Reset]. Not safe for
// concurrent use.
//
// A message is read with [Reader.Request] or [Reader.Response], then a [Body]; what they
// filled aliases the buffer until [Reader.Done].
type Reader struct {
	src    io.Reader
	buf    []byte
	r, w   int    // unread bytes are buf[r:w]
	pinned int    // buf[:pinned] is in use by the current message
	held   []byte // an earlier buffer that the current message still uses
	moved  bool   // the next head is parsed from its start
	first  [1]byte
}

// Sizes of pooled buffers: most heads, most others. A larger head gets its own.
const (
	smallBuffer = 4 << 10
	largeBuffer = 16 << 10
)

var (
	small = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	large = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

func getBuffer(size int) []byte {
	switch {
	case size <= smallBuffer:
		return small.Get().(*[smallBuffer]byte)[:]
	case size <= largeBuffer:
		return large.Get().(*[largeBuffer]byte)[:]
	}
	return make([]byte, size)
}

func putBuffer(b []byte) {
	switch cap(b) {
	case smallBuffer:
		small.Put((*[smallBuffer]byte)(b))
	case largeBuffer:
		large.Put((*[largeBuffer]byte)(b))
	}
}

// Reset makes r read from src and forget what it held.
func (r *Reader) Reset(src io.Reader) {
	r.free()
	r.src = src
}

// Buffered is the number of bytes that were received and not yet read.
func (r *Reader) Buffered() int { return r.w - r.r }

// Done says that nothing of the last message is used any more. A small buffer stays for
// the next message, until [Reader.Rest].
func (r *Reader) Done() {
	if r.held != nil {
		putBuffer(r.held)
		r.held = nil
	}
	r.pinned = 0
	if r.r == r.w && cap(r.buf) != smallBuffer {
		r.free()
	}
}

// Rest gives the buffer back when nothing has been received: a connection that has been
// idle for long holds none.
func (r *Reader) Rest() {
	if r.r == r.w && r.pinned == 0 {
		r.free()
	}
}

func (r *Reader) free() {
	if r.held != nil {
		putBuffer(r.held)
	}
	if r.buf != nil {
		putBuffer(r.buf)
	}
	r.buf, r.held, r.r, r.w, r.pinned, r.moved = nil, nil, 0, 0, 0, true
}

// Wait waits until something has been received, without a buffer if it has none; io.EOF
// when the peer has ended the connection.
func (r *Reader) Wait() error {
	switch {
	case r.r < r.w:
		return nil
	case r.buf != nil:
		return r.Fill()
	}
	n, err := r.src.Read(r.first[:])
	if n == 0 {
		return orNoProgress(err)
	}
	r.makeRoom()
	r.buf[r.w] = r.first[0]
	r.w++
	return nil
}

// Fill waits for more bytes behind those that are there; io.EOF when the peer has ended
// the connection. A request or response that was [ErrIncomplete] goes on with the next
// call of Request or Response.
func (r *Reader) Fill() error {
	r.makeRoom()
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	return orNoProgress(err)
}

func orNoProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// makeRoom makes sure that a good many bytes can be added behind buf[w].
func (r *Reader) makeRoom() {
	const enough = 512
	if r.r == r.w {
		r.r, r.w = r.pinned, r.pinned
	}
	if len(r.buf)-r.w >= enough {
		return
	}
	unread := r.buf[r.r:r.w]
	if len(r.buf)-r.pinned-len(unread) >= enough {
		r.r, r.w = r.pinned, r.pinned+copy(r.buf[r.pinned:], unread)
		r.moved = true
		return
	}
	size := smallBuffer
	if r.buf != nil {
		size = max(largeBuffer, 2*len(unread))
	}
	old := r.buf
	r.buf = getBuffer(size)
	r.r, r.w = 0, copy(r.buf, unread)
	if r.pinned > 0 {
		r.held = old // the current message's head stays where it is
	} else if old != nil {
		putBuffer(old)
	}
	r.pinned, r.moved = 0, true
}

// Request parses the request at the start of what was received; see [Request.Parse].
// With [ErrIncomplete] the caller fills and calls again.
func (r *Reader) Request(q *Request, header *exchange.Header, lim *Limits) error {
	if r.moved {
		q.Reset(header)
		r.moved = false
	}
	n, err := q.Parse(r.buf[r.r:r.w], lim)
	if err == nil {
		r.pin(n)
	}
	return err
}

// Response parses the response at the start of what was received; see [Response.Parse].
// With [ErrIncomplete] the caller fills and calls again. method is the request's.
func (r *Reader) Response(p *Response, header *exchange.Header, method string, lim *Limits) error {
	if r.moved {
		p.Reset(header)
		r.moved = false
	}
	n, err := p.Parse(r.buf[r.r:r.w], method, lim)
	if err == nil {
		r.pin(n)
	}
	return err
}

// pin keeps the head of n bytes that was just parsed.
func (r *Reader) pin(n int) {
	r.r += n
	r.pinned, r.moved = r.r, true
}
