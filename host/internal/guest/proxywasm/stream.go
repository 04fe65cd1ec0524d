package proxywasm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// ErrReplied says that the guest answered by itself: [Stream.Reply] has the answer.
var ErrReplied = exchange.ErrReplied

// ErrBodyLimit says that a guest held more of a body back than it may.
var ErrBodyLimit = fmt.Errorf("the plugin holds back more than %d bytes: %w", maxBuffered, exchange.ErrBodyTooLarge)

const (
	// maxBuffered is how much of a body a paused stream may hold back.
	maxBuffered = 8 << 20
	// pieceBytes is how much of a body a callback gets at once.
	pieceBytes = 32 << 10
	// maxPause is how long a stream may be paused: a guest that never continues must not
	// keep a connection for ever.
	maxPause = 2 * time.Minute
)

// Request is the head of a request as a plugin sees it and changes it.
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

// Reply is an answer that a guest made.
type Reply struct {
	Status  int
	Header  exchange.Header
	Body    []byte
	Details string // what the guest says of why, for the log
}

// Stream is one exchange on its way through a plugin. Its methods belong to the goroutine
// of the exchange.
type Stream struct {
	v     *vm
	id    uint32
	facts Facts
	wakes chan struct{} // has room for one: something that a waiting exchange must see

	interrupted atomic.Bool // the answer is there: nobody waits for the request's body

	// Guarded by the VM's turn.
	request, response half
	reply             *Reply
	failed            error // the VM broke, or the guest closed the stream
	properties        properties
	phase             phase
	grpc              bool        // the request is one of gRPC
	reading           *bodyReader // the request's body; nil is none
}

// phase is where an exchange is: some properties are there from a phase on.
type phase int

const (
	phaseRequest phase = iota
	phaseResponse
	phaseLog
)

// half is one direction of a stream.
type half struct {
	names    *callbackNames
	headers  headerMap
	trailers headerMap
	buffer   []byte // what the guest can see and change of the body
	bodyOpen bool
	rewrote  bool // the guest changed the body
	paused   bool
	resumed  bool // continued while its callback runs
	running  bool // its callback runs
	sent     bool // the head has gone on: no reply may take its place
	size     int64
}

type callbackNames struct{ headers, body, trailers string }

var (
	requestNames  = &callbackNames{"proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"}
	responseNames = &callbackNames{"proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"}
)

// open makes a stream's context on v, whose turn the caller does not have.
func (v *vm) open(ctx context.Context, facts Facts) (*Stream, error) {
	if err := v.enter(ctx); err != nil {
		return nil, err
	}
	defer v.leave()
	if v.broken != nil {
		return nil, errBroken
	}
	s := &Stream{v: v, id: v.nextStream, facts: facts, wakes: make(chan struct{}, 1)}
	for v.streams[s.id] != nil || s.id <= rootID { // after 2^32 streams
		s.id++
	}
	v.nextStream = s.id + 1
	s.request.names, s.response.names = requestNames, responseNames
	s.request.headers.check, s.request.trailers.check = requestField, trailerField
	s.response.headers.check, s.response.trailers.check = responseField, trailerField
	v.streams[s.id] = s
	if _, err := v.callback(ctx, s.id, "proxy_on_context_create", v.p.Fuel, uint64(s.id), rootID); err != nil {
		delete(v.streams, s.id)
		return nil, err
	}
	return s, nil
}

// fail ends s; the caller has the turn.
func (s *Stream) fail(err error) {
	if s.failed == nil {
		s.failed = err
	}
	s.wake()
	if !s.v.p.Skip { // else the body goes on without the plugin
		s.stopReading()
	}
}

// stopReading ends a Read that waits for what the client still sends: the request is over.
// The caller has the turn.
func (s *Stream) stopReading() {
	if s.reading != nil && s.phase == phaseRequest {
		s.reading.stop()
	}
}

func (s *Stream) wake() {
	select {
	case s.wakes <- struct{}{}:
	default:
	}
}

// ended is why s does not go on, if so; the caller has the turn.
func (s *Stream) ended() error {
	switch {
	case s.failed != nil:
		return s.failed
	case s.reply != nil:
		return ErrReplied
	}
	return nil
}

// call runs one callback of h and leaves h paused when the guest says so. The caller has
// the turn.
func (s *Stream) call(ctx context.Context, h *half, export string, args ...uint64) error {
	if err := s.ended(); err != nil {
		return err
	}
	h.resumed, h.running = false, true
	action, err := s.v.callback(ctx, s.id, export, s.v.p.Fuel, args...)
	h.running = false
	if err != nil {
		return err
	}
	h.paused = action != actionContinue && !h.resumed
	return s.ended()
}

// wait lets h rest until the guest continues it, replies, or something ends it. The caller
// does not have the turn.
func (s *Stream) wait(ctx context.Context, h *half) error {
	var timeout <-chan time.Time
	for {
		if h == &s.request && s.interrupted.Load() {
			return exchange.ErrInterrupted
		}
		if err := s.v.enter(ctx); err != nil {
			return err
		}
		err, paused := s.ended(), h.paused
		s.v.leave()
		if err != nil || !paused {
			return err
		}
		if timeout == nil {
			timer := time.NewTimer(maxPause)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-s.wakes:
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout:
			return fmt.Errorf("the plugin paused the stream for %s", maxPause)
		}
	}
}

// resume continues h, at once or when its callback has returned. The caller has the turn.
func (s *Stream) resume(h *half) {
	h.resumed = h.running
	if h.paused {
		h.paused = false
		s.wake()
	}
}

// ServeRequest shows the guest a request, waits while it pauses, and leaves in r what goes
// on: its head, and a body that passes the guest while it is read. [ErrReplied] says that
// the guest answered.
func (s *Stream) ServeRequest(ctx context.Context, r *Request) error {
	h := &s.request
	if err := s.v.enter(ctx); err != nil {
		return err
	}
	s.grpc = bytes.HasPrefix(r.Header.Get("content-type"), []byte("application/grpc"))
	h.headers.fields, h.headers.open, h.headers.changed = requestFields(r), true, false
	err := s.callHeaders(ctx, h, len(h.headers.fields), r.Body == nil)
	s.v.leave()
	if err == nil {
		err = s.wait(ctx, h)
	}
	if err != nil {
		return err
	}
	if err := s.v.enter(ctx); err != nil {
		return err
	}
	h.headers.open = false
	if h.headers.changed {
		applyRequest(r, h.headers.fields)
	}
	s.v.leave()
	if r.Body == nil {
		return nil
	}
	if !s.v.p.module.seesBody(h.names) {
		return nil
	}
	b := &bodyReader{s: s, ctx: ctx, h: h, source: r.Body, trailer: r.Trailer}
	r.Body = b
	if s.v.enter(ctx) == nil {
		s.reading = b
		s.v.leave()
	}
	return b.prime(&r.Length)
}

// callHeaders runs a headers callback, which had two parameters at first.
func (s *Stream) callHeaders(ctx context.Context, h *half, n int, end bool) error {
	args := []uint64{uint64(s.id), uint64(n), 0}
	if end {
		args[2] = 1
	}
	if s.v.p.module.headersArity[h.names.headers] == 2 {
		args = args[:2]
	}
	return s.call(ctx, h, h.names.headers, args...)
}

// ServeResponse shows the guest a response, as [Stream.ServeRequest] does a request. noBody
// says that it has none whatever its headers say. [ErrReplied] says that the guest put
// another in its place.
func (s *Stream) ServeResponse(ctx context.Context, r *exchange.Response, noBody bool) error {
	s.reading.settle() // the answer goes out on what the request comes in
	if err := s.v.enter(ctx); err != nil {
		return err
	}
	s.phase = phaseResponse
	s.request.headers.open, s.request.trailers.open, s.request.bodyOpen = false, false, false
	// A reply of the guest's passes its own callbacks like an answer of the upstream.
	s.reply = nil
	h := &s.response
	h.headers.fields, h.headers.open, h.headers.changed = responseFields(r, noBody), true, false
	end := noBody || r.Stream == nil && len(r.Body) == 0
	err := s.callHeaders(ctx, h, len(h.headers.fields), end)
	s.v.leave()
	if err == nil {
		err = s.wait(ctx, h)
	}
	if err != nil {
		return err
	}
	if err := s.v.enter(ctx); err != nil {
		return err
	}
	h.headers.open = false
	if h.headers.changed {
		applyResponse(r, h.headers.fields)
	}
	s.v.leave()
	if end || !s.v.p.module.seesBody(h.names) {
		return nil
	}
	return s.wrapResponse(ctx, r)
}

// Reply is the guest's answer after [ErrReplied].
func (s *Stream) Reply() *Reply { return s.reply }

// Close shows the guest the end of the exchange: on_log, on_done, on_delete, in Envoy's
// order. It must be called once.
func (s *Stream) Close(r *Request, resp *exchange.Response) {
	s.reading.settle()
	v := s.v
	defer v.load.Add(-1)
	ctx := context.Background()
	_ = v.enter(ctx) // it has no end
	defer v.leave()
	delete(v.streams, s.id)
	if v.broken != nil {
		return
	}
	v.streams[s.id] = s // host functions find it until its last callback
	s.phase = phaseLog
	s.request.headers.fields, s.response.headers.fields = requestFields(r), responseFields(resp, false)
	s.request.trailers.fields, s.response.trailers.fields = fieldsOf(r.Trailer), fieldsOf(&resp.Trailer)
	for _, m := range []*headerMap{&s.request.headers, &s.response.headers, &s.request.trailers, &s.response.trailers} {
		m.open, m.fixed = true, true
	}
	id := uint64(s.id)
	for _, export := range []string{"proxy_on_log", "proxy_on_done", "proxy_on_delete"} {
		if _, err := v.callback(ctx, s.id, export, v.p.Fuel, id); err != nil {
			break // the VM is broken
		}
	}
	delete(v.streams, s.id)
}

// requestFields is a request's head as a guest sees it. The bytes are those of r.
func requestFields(r *Request) []field {
	fields := make([]field, 0, r.Header.Len()+5)
	fields = append(fields, field{[]byte(":authority"), []byte(r.Authority)}, field{[]byte(":path"), []byte(r.Target)},
		field{[]byte(":method"), []byte(r.Method)}, field{[]byte(":scheme"), []byte(r.Scheme)})
	for name, value := range r.Header.All() {
		fields = append(fields, field{name, value})
	}
	if r.Body != nil && r.Length >= 0 {
		fields = append(fields, field{[]byte("content-length"), strconv.AppendInt(nil, r.Length, 10)})
	}
	return fields
}

// applyRequest makes a guest's map the head of r. A pseudo header that it took away stays
// as it was: there is no request without.
func applyRequest(r *Request, fields []field) {
	var header exchange.Header
	for _, f := range fields {
		switch string(f.name) {
		case ":authority":
			r.Authority = string(f.value)
		case ":path":
			r.Target = string(f.value)
		case ":method":
			r.Method = string(f.value)
		case ":scheme":
		default:
			if !isFraming(f.name) {
				header.AppendCopy(f.name, f.value)
			}
		}
	}
	*r.Header = header
}

// responseFields is a response's head as a guest sees it.
func responseFields(r *exchange.Response, noBody bool) []field {
	fields := make([]field, 0, r.Header.Len()+2)
	fields = append(fields, field{[]byte(":status"), strconv.AppendInt(nil, int64(r.Status), 10)})
	for name, value := range r.Header.All() {
		fields = append(fields, field{name, value})
	}
	length := r.Length
	if r.Stream == nil && !noBody {
		length = int64(len(r.Body))
	}
	if length >= 0 {
		fields = append(fields, field{[]byte("content-length"), strconv.AppendInt(nil, length, 10)})
	}
	return fields
}

// applyResponse makes a guest's map the head of r.
func applyResponse(r *exchange.Response, fields []field) {
	var header exchange.Header
	for _, f := range fields {
		switch {
		case string(f.name) == ":status":
			r.Status, _ = strconv.Atoi(string(f.value)) // three digits: responseField
		case !isFraming(f.name):
			header.AppendCopy(f.name, f.value)
		}
	}
	r.Header = header
}

// fieldsOf is a header as a guest sees it; nil is none.
func fieldsOf(h *exchange.Header) []field {
	if h == nil {
		return nil
	}
	fields := make([]field, 0, h.Len())
	for name, value := range h.All() {
		fields = append(fields, field{name, value})
	}
	return fields
}
