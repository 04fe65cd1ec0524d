package httpwasm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Facts are what a guest may know of an exchange beside its messages.
type Facts struct {
	// Protocol is "HTTP/1.0", "HTTP/1.1" or "HTTP/2.0".
	Protocol string
	// Source is the client's address.
	Source netip.AddrPort
}

// Request is the head of a request as a guest sees it and changes it.
type Request struct {
	Method, Scheme, Authority string
	// Target is path and query.
	Target string
	Header *exchange.Header
	// Body is nil when there is none.
	Body io.Reader
	// Length is the announced length of Body, -1 when it is not known.
	Length int64
	// Trailer is complete once Body has ended.
	Trailer *exchange.Header
}

// Stream is one exchange on its way through a plugin. Its methods belong to the goroutine
// of the exchange.
type Stream struct {
	p        *Plugin
	facts    Facts
	box      *guest.Sandbox // nil when it has none, or none any more
	features features
	next     bool   // handle_request has returned and the request went on
	context  uint64 // what it gave for handle_response

	method, target, authority string
	length                    int64 // of the request's body
	request                   fields
	requestTrailer            fields
	requestBody               body

	// Before next, what the guest sets on the answer; then the answer.
	status          int
	response        fields
	responseTrailer fields
	responseBody    body
	responseLength  int64
	preceded        []byte // the answer with what the guest wrote before it, when it is in memory
	early           int    // how much that is
}

// prefetched is how much of a request's body is taken in before the exchange has an
// instance, when the plugin is one that reads bodies: a slow client must not hold one.
const prefetched = 64 << 10

// Open begins an exchange. [Stream.Close] must follow.
func (p *Plugin) Open(f Facts) *Stream { return &Stream{p: p, facts: f} }

// ServeRequest runs handle_request and leaves in r what goes on. [exchange.ErrReplied] says
// that the guest answered: [Stream.Reply] has the answer. After any other error r is as it
// was; of its body is there what can still be had.
func (s *Stream) ServeRequest(ctx context.Context, r *Request) (err error) {
	s.method, s.target, s.authority, s.length = r.Method, r.Target, r.Authority, r.Length
	s.request.of, s.requestTrailer.of = r.Header, r.Trailer
	s.requestBody.source = r.Body
	defer func() {
		if err != nil {
			s.release()
			if s.requestBody.source != nil {
				r.Body = s.requestBody.original(0)
			}
		}
	}()
	if r.Body != nil && s.p.reads.Load() {
		s.prefetch(r)
	}
	if s.box, err = s.p.acquire(ctx); err != nil {
		return err
	}
	v := s.box.Data.(*vm)
	v.stream, s.features = s, v.features
	result, err := s.p.call(ctx, s.box, onRequest, s.p.Fuel)
	if broken := s.requestBody.err; broken != nil {
		return fmt.Errorf("read request body: %w", broken)
	}
	if err != nil {
		return err
	}
	if uint32(result) == 0 {
		s.release()
		return exchange.ErrReplied
	}
	s.next, s.context = true, result>>32
	s.forward(r)
	return nil
}

// prefetch reads the beginning of the request's body.
func (s *Stream) prefetch(r *Request) {
	room := int64(prefetched)
	if r.Length >= 0 {
		room = min(room, r.Length)
	}
	head := body{source: r.Body, wrote: true} // so that it keeps nothing
	piece := make([]byte, room)
	n, _ := head.read(piece)
	rest := r.Body
	switch {
	case head.err != nil:
		rest = &broken{head.err}
	case head.ended:
		s.requestBody.source = bytes.NewReader(piece[:n])
		return
	}
	s.requestBody.source = interruptible(io.MultiReader(bytes.NewReader(piece[:n]), rest), r.Body)
}

// forward makes r what the guest made of the request.
func (s *Stream) forward(r *Request) {
	r.Method, r.Target, r.Authority = s.method, s.target, s.authority
	s.request.apply()
	b := s.requestBody
	r.Body, r.Length = b.rest(r.Length)
	s.requestBody = body{} // the guest may look for more, and finds the end
	if !s.requestTrailer.changed {
		return
	}
	// A body with trailers has no length before it.
	r.Length = -1
	switch {
	case r.Body == nil:
		r.Body = bytes.NewReader(nil)
		s.requestTrailer.apply()
	case b.wrote || b.ended:
		s.requestTrailer.apply()
	default: // the client's own are complete when its body has ended
		set := s.requestTrailer
		s.requestTrailer = fields{of: set.of}
		r.Body = interruptible(&trailing{r.Body, set.apply}, b.source)
	}
}

// ServeResponse runs handle_response, unless the guest answered itself or failed. noBody says
// that the answer has no body whatever its head says, failed that the gateway made it. After
// an error resp is as it was, or has a body that fails.
func (s *Stream) ServeResponse(ctx context.Context, resp *exchange.Response, noBody, failed bool) error {
	if s.box == nil {
		return nil
	}
	defer s.release()
	s.begin(resp, noBody)
	isError := uint64(0)
	if failed {
		isError = 1
	}
	_, err := s.p.call(ctx, s.box, onResponse, s.p.Fuel, s.context, isError)
	if err == nil && s.responseBody.err != nil {
		err = fmt.Errorf("read response body: %w", s.responseBody.err)
	}
	if err == nil {
		s.finish(resp)
	} else if resp.Stream != nil && s.responseBody.taken > s.early {
		resp.Stream = &stream{s.responseBody.original(s.early), resp.Stream}
	}
	return err
}

// begin makes the guest's view of an answer: the upstream's with what the guest set before.
func (s *Stream) begin(resp *exchange.Response, noBody bool) {
	written, set, trailers := s.responseBody.written, s.response.own, s.responseTrailer.own
	s.response, s.responseTrailer = fields{of: &resp.Header}, fields{of: &resp.Trailer}
	if s.status == 0 {
		s.status = resp.Status
	}
	if set.Len() > 0 {
		set.CopyTo(s.response.change())
	}
	if trailers.Len() > 0 {
		s.responseTrailer.partial = resp.Stream != nil
		trailers.CopyTo(s.responseTrailer.change())
	}
	s.responseBody = body{source: sourceOf(resp)}
	s.responseLength = resp.Length
	if noBody {
		s.responseBody.source = nil
	} else if len(written) > 0 {
		s.preceded, s.early = s.precede(written, resp), len(written)
	}
}

// finish makes resp what the guest made of the answer.
func (s *Stream) finish(resp *exchange.Response) {
	resp.Status = s.status
	s.response.apply()
	s.answer(resp)
}

// sourceOf is an answer's body; nil is none.
func sourceOf(resp *exchange.Response) io.Reader {
	if resp.Stream != nil {
		return resp.Stream
	}
	if len(resp.Body) > 0 {
		return bytes.NewReader(resp.Body)
	}
	return nil
}

// precede puts what the guest wrote before the upstream answered in front of its answer, and
// gives all of that as far as it is in memory.
func (s *Stream) precede(written []byte, resp *exchange.Response) []byte {
	b := &s.responseBody
	if resp.Stream != nil {
		b.source = io.MultiReader(bytes.NewReader(written), b.source)
		if s.responseLength >= 0 {
			s.responseLength += int64(len(written))
		}
		return written
	}
	whole := slices.Concat(written, resp.Body)
	b.source, s.responseLength = bytes.NewReader(whole), int64(len(whole))
	return whole
}

// answer makes body and trailers of resp what the guest made of them.
func (s *Stream) answer(resp *exchange.Response) {
	b := &s.responseBody
	switch {
	case b.wrote:
		resp.SetBody(b.written)
	case resp.Stream == nil && s.early > 0:
		resp.SetBody(s.preceded)
	case resp.Stream == nil:
	case b.taken > 0 && b.ended:
		resp.SetBody(b.kept)
	case b.taken > 0 || s.early > 0:
		rest, length := b.rest(s.responseLength)
		setStream(resp, rest, length)
	}
	switch {
	case resp.Stream != nil && s.responseTrailer.changed && !b.ended:
		set := s.responseTrailer
		set.partial = true // the upstream's come at the end
		setStream(resp, &trailing{resp.Stream, set.apply}, -1)
	default:
		s.responseTrailer.apply()
		if resp.Stream == nil && resp.Trailer.Len() > 0 { // only a stream has trailers
			setStream(resp, bytes.NewReader(resp.Body), -1)
		}
	}
}

// setStream makes r the body of resp; what was its stream is closed with it.
func setStream(resp *exchange.Response, r io.Reader, length int64) {
	closer := io.Closer(nothing{})
	if resp.Stream != nil {
		closer = resp.Stream
	}
	resp.Stream, resp.Body, resp.Length = &stream{r, closer}, nil, length
}

// Reply is the guest's answer after [exchange.ErrReplied].
func (s *Stream) Reply(r *exchange.Response) {
	r.Status = s.status
	if r.Status == 0 {
		r.Status = 200
	}
	s.response.own.CopyTo(&r.Header)
	r.SetBody(s.responseBody.written)
	if s.responseTrailer.own.Len() > 0 {
		s.responseTrailer.own.CopyTo(&r.Trailer)
		setStream(r, bytes.NewReader(r.Body), -1)
	}
}

// Close ends the exchange. It may be called again.
func (s *Stream) Close() { s.release() }

// release gives the instance back, if there is one.
func (s *Stream) release() {
	if s.box == nil {
		return
	}
	s.box.Data.(*vm).stream = nil
	s.p.pool.Release(s.box)
	s.box = nil
}
