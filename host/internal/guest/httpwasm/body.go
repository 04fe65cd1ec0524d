package httpwasm

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// MaxBody is how much of a body is held in memory: of what a guest reads, so that it still
// goes on, and of what it writes.
const MaxBody = 16 << 20

// body is a message's body as a guest reads and writes it.
type body struct {
	source  io.Reader // nil is none
	kept    []byte    // what the guest has read, as long as it has written nothing
	taken   int       // how much of source was read
	ended   bool      // source is at its end, or is none
	err     error     // why the source broke off; the guest sees its end
	wrote   bool
	written []byte
}

// read fills p, unless the body ends before. A client or upstream that breaks off is an end
// for the guest, which is not to blame and is not to trap; err says so later.
func (b *body) read(p []byte) (n int, eof bool) {
	if b.source == nil {
		b.ended = true
	}
	for n < len(p) && !b.ended {
		into := p[n:]
		if !b.wrote { // one byte more tells a body that is too long from its end
			into = into[:min(len(into), MaxBody+1-len(b.kept))]
		}
		m, err := b.source.Read(into)
		if !b.wrote && len(b.kept)+m > MaxBody {
			b.fail(exchange.ErrBodyTooLarge)
			break
		}
		if !b.wrote {
			b.kept = append(b.kept, into[:m]...)
		}
		n += m
		b.taken += m
		if err == io.EOF {
			b.ended = true
		} else if err != nil {
			b.fail(err)
		}
	}
	return n, b.ended
}

func (b *body) fail(err error) { b.ended, b.err = true, err }

// write makes p the body, or what follows in it.
func (b *body) write(p []byte) error {
	if len(b.written)+len(p) > MaxBody {
		return fmt.Errorf("body of %d bytes, want at most %d", len(b.written)+len(p), MaxBody)
	}
	// What was read is not needed any more.
	b.wrote, b.kept = true, nil
	b.written = append(b.written, p...)
	return nil
}

// rest is the body that goes on, with its length, which is length when it is what it was.
// nil is none.
func (b *body) rest(length int64) (io.Reader, int64) {
	whole := b.written
	switch {
	case b.source == nil && !b.wrote:
		return nil, length
	case b.wrote:
	case b.ended:
		whole = b.kept
	default:
		return b.original(0), length
	}
	if len(whole) == 0 {
		return nil, 0
	}
	return bytes.NewReader(whole), int64(len(whole))
}

var errLost = errors.New("a plugin that failed has read a part of the body")

// original is the source as it was before the guest read it, without the first prefix bytes
// that were put before it; or a body that fails, when what was read is gone: half of a body
// must not look like a whole.
func (b *body) original(prefix int) io.Reader {
	switch {
	case b.taken == 0:
		return b.source
	case b.wrote && b.taken > prefix:
		return &broken{errLost}
	}
	kept := b.kept[min(prefix, len(b.kept)):]
	return interruptible(io.MultiReader(bytes.NewReader(kept), b.source), b.source)
}

// broken is a body that broke off.
type broken struct{ err error }

// Read gives the error.
func (b *broken) Read([]byte) (int, error) { return 0, b.err }

// interruptible is r, which can be interrupted if the body that it reads can.
func interruptible(r io.Reader, of io.Reader) io.Reader {
	if i, ok := of.(exchange.Interrupter); ok {
		return struct {
			io.Reader
			exchange.Interrupter
		}{r, i}
	}
	return r
}

// trailing is a body whose end is followed by trailers that a guest set.
type trailing struct {
	io.Reader
	end func()
}

// Read implements io.Reader.
func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err == io.EOF && t.end != nil {
		t.end()
		t.end = nil
	}
	return n, err
}

// stream is an answer's body with what is closed after it.
type stream struct {
	io.Reader
	io.Closer
}

type nothing struct{}

// Close does nothing.
func (nothing) Close() error { return nil }
