package forward

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/socket"
)

const (
	// smallBody is the longest body that is held in memory: of a request, to be sent with its
	// head and perhaps again; of an answer, to free the connection before the client has it.
	smallBody = 16 << 10
	// maxInformational is how many 1xx an upstream may send before its answer.
	maxInformational = 16
)

// Call is one call of an upstream.
type Call struct {
	Upstream *Upstream
	// Method, Path and Query go out byte for byte; Path begins with a slash or is "*".
	Method, Path, Query string
	// EmptyQuery sends the question mark without a Query, too.
	EmptyQuery bool
	// Authority is the Host, lower case; empty is the upstream's.
	Authority string
	// Header is sent without framing, Host and hop-by-hop fields. It is not changed; nil is
	// none.
	Header *exchange.Header
	// Edited are lower-case names of fields that no trailer of the client may have, with _
	// for - neither.
	Edited []string
	// NoBody sends no body whatever the exchange has.
	NoBody bool
	// Forwarded adds x-forwarded-for, -proto, -port and -host and x-amzn-trace-id, of which
	// the first extends what Header has, the last stays if Header has it.
	Forwarded bool
	// Timeout bounds the time from the request being out, or from the start when its body is
	// small, to the head of the answer, small answers included; 0 is 29 seconds, Amazon's.
	// A longer answer streams beyond it, as long as it does not pause for Options.Idle.
	Timeout time.Duration

	// Latency is, after Do, the time to the head of the answer or to the failure.
	Latency time.Duration
	// Reused is, after Do, whether a kept connection was used.
	Reused bool
}

// Do sends x to the upstream and fills x.Response, which is empty. When it has a Stream,
// that must be closed and read by the goroutine that owns x. Errors are *[Error]; an error
// after Do is the Stream's, and tells that the client's connection must break too.
//
// The client's body is read while Do runs and never after it. When the answer comes before
// the body is out, the rest is not read; a Read that waits for the client is interrupted if
// the body is an [exchange.Interrupter], else waited for.
func (f *Forwarder) Do(x *exchange.Exchange, c *Call) error {
	c.Latency, c.Reused = 0, false
	k := call{Call: c, f: f, x: x, ctx: x.Context}
	if k.ctx == nil {
		k.ctx = context.Background()
	}
	// The client's time is not the upstream's: the call begins when a small body is here.
	err := k.takeBody()
	k.start = time.Now()
	if err == nil {
		err = k.do()
	}
	failure := Kind("")
	if err != nil {
		failure, c.Latency = err.Kind, time.Since(k.start)
	}
	if f.options.Observe != nil {
		f.options.Observe(c.Upstream.name, failure, c.Latency)
	}
	if err != nil { // a nil *Error is not a nil error
		return err
	}
	return nil
}

// call is one Do.
type call struct {
	*Call
	f     *Forwarder
	x     *exchange.Exchange
	ctx   context.Context
	start time.Time

	framing http1.Framing
	length  int64
	small   []byte    // the body when it is in memory
	stream  io.Reader // else

	trace [2]uint64 // random part of the x-amzn-trace-id that is added
}

// do tries once, and once more where that is harmless.
func (k *call) do() *Error {
	k.f.budget.deposit()
	for again := false; ; {
		conn, err := k.connect(again)
		if err != nil {
			return asError(err)
		}
		k.Reused, k.x.Upstream = conn.reused, conn.peer
		err = k.roundTrip(conn)
		if err == nil {
			return nil
		}
		e, harmless := asError(err), k.harmless(conn)
		if conn.broken = true; conn.abandons(e) {
			conn.leave(k.timeout())
		} else {
			conn.release(time.Time{})
		}
		k.x.Response.Reset()
		if errors.Is(err, socket.ErrStale) {
			continue // that was one connection less of those that are kept
		}
		if again || e.Kind != Reset || !harmless || !k.f.budget.spend() {
			return e
		}
		again = true
	}
}

// asError makes an *Error of what http1 or a connection returned.
func asError(err error) *Error {
	var e *Error
	var refusal *http1.Refusal
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &refusal), errors.Is(err, io.ErrNoProgress):
		return fail(Protocol, err)
	case errors.Is(err, http1.ErrUnwritable):
		return fail(RequestInvalid, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return failf(Reset, "the upstream closed the connection before the end of its answer")
	}
	return fail(Reset, err)
}

// takeBody decides how the body goes out. What is announced as small is read first: a slow
// client then holds no connection, and its lies about the length are told before anything
// is sent.
func (k *call) takeBody() *Error {
	if k.NoBody {
		return nil
	}
	if k.x.BodyLength >= 0 && k.x.BodyLength <= smallBody || k.x.Body == nil {
		body, complete, err := k.x.Prefix(smallBody)
		if err != nil {
			return bodyError(k.x.Context, err)
		}
		if complete {
			k.small, k.length = body, int64(len(body))
			switch {
			case k.x.Trailer.Len() > 0:
				k.framing = http1.Chunked
			case len(body) > 0:
				k.framing = http1.Fixed
			}
			return nil
		}
	}
	var whole []byte
	k.stream, k.length, whole = k.x.BodyReader()
	switch {
	case k.stream == nil:
	case whole != nil:
		k.small, k.stream, k.framing = whole, nil, http1.Fixed
	case k.length < 0:
		k.framing = http1.Chunked
	default:
		k.framing = http1.Fixed
	}
	return nil
}

// harmless tells whether a request that failed on c may be sent again: nothing of it had
// been sent, or c had been kept, no answer began and the method is idempotent (RFC 9110 9.2.2).
func (k *call) harmless(c *conn) bool {
	if k.stream != nil || !c.reused || c.got {
		return false
	}
	switch k.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return !c.sent
}

// connect gets a connection, a new one the second time.
func (k *call) connect(again bool) (*conn, error) {
	until := k.start.Add(k.f.options.Connect)
	if again {
		until = time.Now().Add(k.f.options.Connect)
	}
	if k.ctx.Err() != nil {
		return nil, fail(ClientGone, k.ctx.Err())
	}
	for {
		conn, err := k.Upstream.get(k.ctx, k.x.Conn, k.start, until, again)
		if err == nil && conn.reused && (k.stream != nil || !conn.asks()) && !conn.alive() {
			conn.Close()
			k.Upstream.gone(conn.owner)
			continue
		}
		if err != errForgotten {
			return conn, err
		}
		if k.Upstream, err = k.f.adopt(k.Upstream); err != nil {
			return nil, err
		}
	}
}

func (k *call) timeout() time.Duration {
	if k.Timeout > 0 {
		return k.Timeout
	}
	return 29 * time.Second
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// roundTrip sends the request and reads the answer's head, and its body if it is small. After
// an error c is still the caller's.
func (k *call) roundTrip(c *conn) error {
	c.begin(k.ctx, k.start.Add(k.timeout()))
	c.expect(k.f.options.FirstByte, TimeoutFirstByte)
	if c.reused {
		c.now = k.start
	}
	out := buffers.Get().(*[]byte)
	defer buffers.Put(out)
	if err := k.send(c, out); err != nil {
		return err
	}
	if k.stream == nil {
		if err := k.readHead(c, k.x.Informational); err != nil {
			return err
		}
	}
	return k.receive(c)
}

// trailer is the client's trailer as it may go out.
func (k *call) trailer() *exchange.Header {
	t := &k.x.Trailer
	for _, name := range k.Edited {
		t.DeleteFunc(func(n, _ []byte) bool { return http1.Shadows(n, name) })
	}
	return t
}

// send writes the head and a body that is in memory, in one piece if it is small. With a
// streaming body it reads the answer's head too. out is what it makes the request in, and must be
// left alone until something of the answer has come.
func (k *call) send(c *conn, out *[]byte) error {
	head := http1.RequestHead{
		Method: k.Method, Path: k.Path, Query: k.Query, EmptyQuery: k.EmptyQuery, Authority: k.Authority,
		Header: k.header(c), Framing: k.framing, Length: k.length,
	}
	if head.Authority == "" {
		head.Authority = k.Upstream.authority
	}
	b, err := head.Append((*out)[:0])
	if err != nil {
		return err
	}
	if cap(b) <= 64<<10 {
		*out = b[:0]
	}
	if k.stream != nil {
		return k.upload(c, b)
	}
	switch {
	case k.framing == http1.Chunked:
		if b, err = http1.AppendLastChunk(http1.AppendChunk(b, k.small), k.trailer()); err != nil {
			return err
		}
	case len(k.small) <= smallBody:
		b = append(b, k.small...)
	default:
		if err := c.write(b); err != nil {
			return err
		}
		b = k.small
	}
	if cap(b) <= 64<<10 && len(k.small) <= smallBody {
		*out = b[:0]
	}
	return c.ask(b)
}
