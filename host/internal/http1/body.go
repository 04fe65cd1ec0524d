package http1

import (
	"io"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Body reads one message body to exactly its end (RFC 9112 6, 7). The zero value is an
// empty body. Not safe for concurrent use.
//
// Read returns io.EOF once the body and its trailers were read, [exchange.ErrBodyTooLarge]
// beyond the limit, io.ErrUnexpectedEOF when the peer left early, and a [*Refusal] when
// the chunked coding is broken. Errors stay. After any but io.EOF the connection is of no
// further use.
type Body struct {
	r        *Reader
	lim      *Limits
	trailer  *exchange.Header
	left     int64 // of the body, or of the current chunk
	room     int64 // that the whole body may still take
	framing  Framing
	inChunk  bool // left counts a chunk whose CRLF was not read
	overhead int  // bytes of chunk extensions so far
	err      error
}

// Reset prepares b for a body of that framing behind the head that r has just parsed.
// length is that of a Fixed body. max bounds the body in bytes, no bound when negative.
// Trailers go to trailer, emptied here.
func (b *Body) Reset(r *Reader, f Framing, length, max int64, trailer *exchange.Header, lim *Limits) {
	trailer.Reset()
	*b = Body{r: r, lim: lim, trailer: trailer, framing: f, room: max}
	switch {
	case f == None || f == Fixed && length == 0:
		b.err = io.EOF
	case f == Fixed:
		b.left = length
		if max >= 0 && length > max {
			b.err = exchange.ErrBodyTooLarge
		}
	}
}

// Done tells whether the body was read to its end, so that the next message can follow.
func (b *Body) Done() bool { return b.r == nil || b.err == io.EOF }

// Left is how many bytes are still to come, -1 when that is not known.
func (b *Body) Left() int64 {
	switch {
	case b.Done():
		return 0
	case b.framing == Fixed:
		return b.left
	}
	return -1
}

// Buffered is more than 0 when a Read returns without waiting for the peer.
func (b *Body) Buffered() int {
	if b.err == nil && b.framing == Chunked && b.left == 0 {
		// What is there may be the end of a chunk, or the beginning of a chunk's size.
		if err := b.nextChunk(false); err == ErrIncomplete {
			return 0
		} else if err != nil {
			b.err = err
		}
	}
	if b.err != nil {
		return 1
	}
	return b.r.Buffered()
}

// Whole takes a Fixed body that has been received as a whole, without a copy: it aliases
// the reader's buffer until [Reader.Done]. ok is false when it must be read with Read.
func (b *Body) Whole() (body []byte, ok bool) {
	if b.r == nil || b.framing == None {
		return nil, true
	}
	n := int(b.left)
	if b.err != nil || b.framing != Fixed || b.left > int64(b.r.Buffered()) {
		return nil, false
	}
	body = b.r.buf[b.r.r : b.r.r+n : b.r.r+n]
	b.r.r += n
	b.r.pinned = b.r.r
	b.left, b.err = 0, io.EOF
	return body, true
}

// Read implements io.Reader. It returns what is there rather than fill p, and io.EOF
// together with the last bytes when it can.
func (b *Body) Read(p []byte) (n int, err error) {
	if b.r == nil {
		return 0, io.EOF
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	switch b.framing {
	case Fixed:
		n, b.err = b.readFixed(p)
	case Chunked:
		n, b.err = b.readChunked(p)
	default:
		if n, b.err = b.receive(p); b.err == nil {
			b.err = b.spend(n)
		}
	}
	if n > 0 && b.err != io.EOF {
		return n, nil
	}
	return n, b.err
}

func (b *Body) readFixed(p []byte) (int, error) {
	n, err := b.receive(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// readChunked reads chunk data, through as many chunks as have been received.
func (b *Body) readChunked(p []byte) (n int, err error) {
	for n < len(p) {
		if b.left == 0 {
			if err := b.nextChunk(n == 0); err != nil {
				if err == ErrIncomplete {
					return n, nil
				}
				return n, err
			}
		}
		if n > 0 && b.r.Buffered() == 0 {
			return n, nil
		}
		m, err := b.receive(p[n:min(int64(len(p)), int64(n)+b.left)])
		b.left -= int64(m)
		n += m
		if err == io.EOF {
			return n, io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
	}
	// The end is often there already; who gets it now is spared a call.
	if b.left == 0 && b.r.Buffered() > 0 {
		if err := b.nextChunk(false); err != nil && err != ErrIncomplete {
			return n, err
		}
	}
	return n, nil
}

// receive reads at most len(p) bytes: those in the buffer, else directly from the source.
func (b *Body) receive(p []byte) (int, error) {
	if b.r.Buffered() == 0 {
		if len(p) >= smallBuffer || b.framing == Fixed && int64(len(p)) == b.left {
			n, err := b.r.src.Read(p)
			if n > 0 {
				return n, nil
			}
			return 0, orNoProgress(err)
		}
		if err := b.r.Fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.r.buf[b.r.r:b.r.w])
	b.r.r += n
	return n, nil
}

// spend counts n bytes against the limit of the whole body.
func (b *Body) spend(n int) error {
	if b.room < 0 {
		return nil
	}
	if b.room -= int64(n); b.room < 0 {
		b.room = 0
		return exchange.ErrBodyTooLarge
	}
	return nil
}
