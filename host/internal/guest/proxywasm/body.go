package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// bodyReader is a body that passes the guest while it is read: each piece that comes is
// shown to it, and what it lets go is what a Read gets. While the guest pauses, pieces
// gather, as many as fit its buffer, and what it lets go goes on at once.
type bodyReader struct {
	s       *Stream
	ctx     context.Context
	h       *half
	source  io.Reader
	trailer *exchange.Header // complete once source has ended

	piece  []byte
	coming chan read // of a Read of source that is under way beside the exchange; nil is none
	out    []byte    // what the guest has let go
	held   bool      // the guest paused when it saw the last piece
	ended  bool      // source is at its end
	err    error
	passed int64 // bytes that were let go
	fixed  int64 // the length that was promised; -1 is none
	bypass bool  // the plugin failed and is skipped
}

// Read gives what the guest lets go. An error other than io.EOF means that the body is
// broken off.
func (b *bodyReader) Read(p []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.advance()
	}
	n := copy(p, b.out)
	if b.out = b.out[n:]; len(b.out) == 0 && b.err != nil {
		return n, b.err
	}
	return n, nil
}

// primed is how much of a body of known length is taken in before its head goes out, so
// that the length of what the guest makes of it can be told.
const primed = 64 << 10

// prime reads a body of known length up to its end or to primed bytes. Then length is what
// the guest made of it: the true one, the promised one when it has touched nothing yet, or
// -1.
func (b *bodyReader) prime(length *int64) error {
	b.fixed = -1
	if *length < 0 {
		return nil
	}
	for b.err == nil && len(b.out) < primed {
		b.advance()
	}
	switch {
	case b.err == io.EOF:
		*length = int64(len(b.out))
	case b.err != nil:
		return b.err
	case b.h.rewrote && !b.bypass:
		*length = -1
	default:
		b.fixed = *length
	}
	return nil
}

// advance makes a step: next, without the plugin when that failed and is skipped.
func (b *bodyReader) advance() {
	switch b.err = b.next(); {
	case b.err == nil, b.err == io.EOF:
	case b.skips(b.err):
		b.err = nil
	default:
		b.settle()
	}
}

// read is what a Read gave.
type read struct {
	n   int
	err error
}

// take reads a piece; false is none yet, because something happened to the stream. While the
// guest holds back what it saw the source is read beside the exchange: when the guest
// continues, that goes on at once and not when the next piece comes.
func (b *bodyReader) take() (r read, ok bool) {
	if b.piece == nil {
		b.piece = make([]byte, pieceBytes)
	}
	if b.coming == nil {
		if !b.held || b.bypass {
			r.n, r.err = b.source.Read(b.piece)
			return r, true
		}
		coming := make(chan read, 1)
		b.coming = coming
		go func() { // settle waits for it, or who takes the piece
			n, err := b.source.Read(b.piece)
			coming <- read{n, err}
		}()
	}
	select {
	case r = <-b.coming:
		b.coming = nil
		return r, true
	case <-b.s.wakes:
		return r, false
	case <-b.ctx.Done():
		return read{err: b.ctx.Err()}, true
	}
}

// settle ends a Read that is under way: nobody else may touch the source before.
func (b *bodyReader) settle() {
	if b == nil || b.coming == nil {
		return
	}
	b.stop()
	<-b.coming
	b.coming = nil
	if b.err == nil {
		b.err = exchange.ErrInterrupted
	}
}

// next takes one piece from the source and shows it to the guest. io.EOF says that all has
// passed.
func (b *bodyReader) next() error {
	if b.ended {
		return b.finish()
	}
	if (b.held || b.coming != nil) && !b.bypass {
		if err := b.continued(); err != nil || len(b.out) > 0 {
			return err
		}
	}
	r, ok := b.take()
	if !ok {
		return nil
	}
	n, readErr := r.n, r.err
	if readErr != nil && readErr != io.EOF {
		return b.broken(readErr)
	}
	if b.bypass {
		b.let(b.piece[:n])
		if readErr == io.EOF {
			return b.checkLength(io.EOF)
		}
		return nil
	}
	if n == 0 && readErr == nil {
		return nil
	}
	if err := b.s.v.enter(b.ctx); err != nil {
		return err
	}
	err := b.show(b.piece[:n], readErr == io.EOF)
	b.held = b.h.paused
	b.s.v.leave()
	if err != nil {
		b.ended = readErr == io.EOF
		return blame(err)
	}
	if readErr == io.EOF {
		b.ended = true
		return b.finish()
	}
	return nil
}

// continued lets go what the guest held back, if it has continued since.
func (b *bodyReader) continued() error {
	if err := b.s.v.enter(b.ctx); err != nil {
		return err
	}
	defer b.s.v.leave()
	if err := b.s.ended(); err != nil {
		return blame(err)
	}
	if b.held = b.h.paused; !b.held {
		b.release()
	}
	return nil
}

// finish waits for a guest that paused at the end, and lets the rest go.
func (b *bodyReader) finish() error {
	if b.bypass {
		return b.checkLength(io.EOF)
	}
	if err := b.s.wait(b.ctx, b.h); err != nil {
		return blame(err)
	}
	if err := b.s.v.enter(b.ctx); err != nil {
		return err
	}
	defer b.s.v.leave()
	b.release()
	b.h.bodyOpen = false
	if t := &b.h.trailers; t.open {
		t.open = false
		if t.changed {
			var header exchange.Header // the fields may be those of the old one
			for _, f := range t.fields {
				header.AppendCopy(f.name, f.value)
			}
			*b.trailer = header
		}
	}
	return b.checkLength(io.EOF)
}

// checkLength breaks a body off that is not as long as was promised: half of one must not
// look like a whole.
func (b *bodyReader) checkLength(end error) error {
	if b.fixed >= 0 && b.passed != b.fixed {
		return &exchange.BodyFault{Err: fmt.Errorf("the plugin made a body of %d bytes of one of %d whose length was sent", b.passed, b.fixed)}
	}
	return end
}

// blame makes err the plugin's, unless it is none: a reply, or the end of the exchange.
func blame(err error) error {
	if errors.Is(err, ErrReplied) || errors.Is(err, exchange.ErrInterrupted) || errors.Is(err, exchange.ErrBodyTooLarge) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &exchange.BodyFault{Err: err}
}

// skips tells whether the body goes on without the plugin, which failed: then what it held
// back goes out as it is, and the rest as it comes.
func (b *bodyReader) skips(err error) bool {
	if _, failed := errors.AsType[*exchange.BodyFault](err); !failed || !b.s.v.p.Skip || b.bypass {
		return false
	}
	b.bypass = true
	if b.s.v.enter(b.ctx) != nil {
		return false
	}
	defer b.s.v.leave()
	b.release()
	b.h.bodyOpen = false
	return true
}

// broken is what ends a body that its source broke off: the guest's reply or failure, when
// that is why.
func (b *bodyReader) broken(err error) error {
	if b.s.v.enter(b.ctx) != nil {
		return err
	}
	defer b.s.v.leave()
	if ended := b.s.ended(); ended != nil && b.h == &b.s.request && errors.Is(err, exchange.ErrInterrupted) {
		return blame(ended)
	}
	return err
}

// Interrupt implements exchange.Interrupter.
func (b *bodyReader) Interrupt() {
	b.s.interrupted.Store(true)
	b.s.wake()
	b.stop()
}

// stop ends a Read of the source that waits for the client.
func (b *bodyReader) stop() {
	if i, ok := b.source.(exchange.Interrupter); ok {
		i.Interrupt()
	}
}

// let passes bytes on that the guest does not see.
func (b *bodyReader) let(piece []byte) {
	b.passed += int64(len(piece))
	b.out = append(b.out, piece...)
}

// show runs the callbacks for a piece and, at the end, for the trailers. The caller has the
// turn.
func (b *bodyReader) show(piece []byte, end bool) error {
	h := b.h
	if !h.paused { // also when the guest continued since the last piece
		b.release()
	}
	h.bodyOpen = true
	h.size += int64(len(piece))
	if h.buffer = append(h.buffer, piece...); len(h.buffer) > maxBuffered {
		return ErrBodyLimit
	}
	trailers := end && b.trailer != nil && b.trailer.Len() > 0
	if len(piece) > 0 || !trailers {
		eos := uint64(0)
		if end && !trailers {
			eos = 1
		}
		if err := b.s.call(b.ctx, h, h.names.body, uint64(b.s.id), uint64(len(h.buffer)), eos); err != nil {
			return err
		}
	}
	if !h.paused {
		b.release()
	}
	if !trailers {
		return nil
	}
	h.trailers.fields, h.trailers.open, h.trailers.changed = fieldsOf(b.trailer), true, false
	if !b.s.v.box.Has(h.names.trailers) {
		return nil // what the body callback said stands
	}
	return b.s.call(b.ctx, h, h.names.trailers, uint64(b.s.id), uint64(len(h.trailers.fields)))
}

// release lets go what the guest has seen. The caller has the turn.
func (b *bodyReader) release() {
	b.passed += int64(len(b.h.buffer))
	b.out = append(b.out, b.h.buffer...)
	b.h.buffer = b.h.buffer[:0]
}

// wrapResponse puts a response's body through the guest.
func (s *Stream) wrapResponse(ctx context.Context, r *exchange.Response) error {
	h := &s.response
	stream, length := r.Stream, r.Length
	b := &bodyReader{s: s, ctx: ctx, h: h, trailer: &r.Trailer}
	if stream == nil {
		b.source, length = &bytesReader{b: r.Body}, int64(len(r.Body))
	} else {
		b.source = stream
	}
	if r.Trailer.Len() > 0 { // a body with trailers has no length before it
		length = -1
	}
	if err := b.prime(&length); err != nil {
		return err
	}
	if b.err == io.EOF {
		r.SetBody(b.out)
		return nil
	}
	h.sent = true
	r.Stream, r.Body, r.Length = &responseBody{b, stream}, nil, length
	return nil
}

// bytesReader reads bytes and tells their end with the last of them.
type bytesReader struct{ b []byte }

// Read implements io.Reader.
func (r *bytesReader) Read(p []byte) (int, error) {
	n := copy(p, r.b)
	if r.b = r.b[n:]; len(r.b) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// responseBody is a response's body on its way out. Its end closes the upstream's.
type responseBody struct {
	*bodyReader
	stream io.Closer // nil is none
}

// Read gives what the guest lets go. A guest that replies when the head is out breaks the
// answer off: half of one must not look like a whole.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.bodyReader.Read(p)
	if errors.Is(err, ErrReplied) {
		err = errors.New("the plugin replied when the head of the answer was out")
	}
	return n, err
}

// Close closes the upstream's body.
func (b *responseBody) Close() error {
	b.settle()
	if b.stream == nil {
		return nil
	}
	return b.stream.Close()
}
