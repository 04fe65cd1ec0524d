package exchange

import (
	"context"
	"crypto/x509"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Exchange is one request and its response.
// Get one from [Acquire] and give it back with [Exchange.Release].
type Exchange struct {
	// ID is the request id, a random UUID; clients see it as x-amzn-RequestId.
	ID [36]byte
	// Seed is the random seed of this request's decisions.
	Seed uint64
	// Start is when the head was complete.
	Start time.Time
	// Remote is the client's address, IPv4-mapped IPv6 unmapped, zone removed.
	Remote netip.AddrPort
	// Conn tells of the connection; shared by its requests, never changed.
	Conn *Conn
	// Context ends when the client goes away or the listener closes. It may be a [Canceller].
	Context context.Context

	// What the client sent; never changed above listen. The strings may alias the
	// connection's buffer: who keeps one past Release clones it.
	Method    string // case kept
	Authority string // lower case, with its port if any
	Target    string // path, percent-encoding untouched, without query; "*" for OPTIONS *
	Query     string // raw query without the question mark
	// EmptyQuery says that Target was followed by a question mark and nothing behind it.
	EmptyQuery bool

	// Header is the client's fields: framing, Host and hop-by-hop fields are not among them.
	Header Header
	// Body is what the client sends after the head, nil when there is none. Reading it
	// waits for the client and keeps its limits; an error other than io.EOF means that
	// the body is broken, too slow or too long and the request must not go on. It may be an
	// [Interrupter].
	Body io.Reader
	// BodyLength is the announced length of Body, -1 when it is not known in advance.
	BodyLength int64
	// Trailer is the request's trailer fields, complete once Body returned io.EOF.
	Trailer Header

	// Upstream is the address that was called last; invalid when there was none.
	Upstream netip.AddrPort

	// Response is filled by whoever answers: a hook's reply, the cache, forward or a problem.
	Response Response

	// Informational sends a 1xx response (100 Continue, 103 Early Hints) to the client at
	// once; nil when the client cannot take one.
	Informational func(status int, header *Header) error

	// State is what the Handler keeps between ServeExchange and FinishExchange.
	State any

	prefix   []byte // head of Body that was taken into memory
	complete bool   // prefix is the whole body
}

// Canceller is what an [Exchange.Context] may be, too: one that tells of its end at once
// and at no cost for the requests that nobody cancels. It is safe for concurrent use.
type Canceller interface {
	// OnCancel has f called when the Context ends, once; false when it has ended, and f is not
	// called. There is one f at a time. It must not wait, nor use the Context.
	OnCancel(f func()) bool
	// Forget lets f be, which then does not run any more; false when it was called.
	Forget() bool
}

// Response is the answer that the client gets. listen adds framing, Date and Connection.
type Response struct {
	// Status is three digits; 0 until somebody answered.
	Status int
	// Header never holds framing or hop-by-hop fields.
	Header Header
	// Body is the whole body when Stream is nil. It stays its owner's: who keeps it copies it.
	Body []byte
	// Stream is a body that is read while it is sent, flushed at each read; listen closes it,
	// whether or not it was read to its end.
	Stream io.ReadCloser
	// Length is the announced length of Stream, -1 when it is not known; for an answer to
	// HEAD and for 304 it is the length that a body would have had, -1 when not known.
	Length int64
	// Trailer is sent after Stream ended; complete once Stream returned io.EOF.
	Trailer Header
	// Sent is the bytes of body that listen has written.
	Sent int64
	// CloseConnection makes listen close the connection after this answer.
	CloseConnection bool

	room []byte
}

// Room is n bytes for a Body, which live as long as the exchange and are used again for
// the next. A second call may give the same bytes.
func (r *Response) Room(n int) []byte {
	if cap(r.room) < n {
		r.room = make([]byte, n)
	}
	return r.room[:n]
}

// Reset empties r and keeps its memory. It does not close Stream.
func (r *Response) Reset() {
	r.Header.Reset()
	r.Trailer.Reset()
	if cap(r.room) > 64<<10 {
		r.room = nil
	}
	*r = Response{Header: r.Header, Trailer: r.Trailer, room: r.room}
}

// SetBody makes body, which r then shares, the whole body. It closes a Stream.
func (r *Response) SetBody(body []byte) {
	if r.Stream != nil {
		r.Stream.Close()
	}
	r.Stream, r.Body, r.Length = nil, body, int64(len(body))
}

// Conn is what the requests of one connection have in common.
type Conn struct {
	// ID numbers the connections of the process, from 1; 0 is unknown.
	ID uint64
	// Local is the address that the client connected to.
	Local netip.AddrPort
	// Protocol is "HTTP/1.0", "HTTP/1.1" or "HTTP/2.0"; for logs only.
	Protocol string
	// TLSVersion is "TLSv1.2" or "TLSv1.3".
	TLSVersion string
	// CipherSuite is the IANA name of the suite.
	CipherSuite string
	// ServerName is the SNI, lower case, empty when the client sent none.
	ServerName string
	// PeerCertificates is the client's verified chain, leaf first; empty without mTLS.
	PeerCertificates []*x509.Certificate

	// Memo is what the Handler found out for one request and may find useful for the next;
	// nil when there is nothing, or nothing any more: an idle connection forgets it.
	Memo atomic.Pointer[any]
}

// Handler answers exchanges. It is called on many goroutines at once and leaves a
// complete Response behind.
type Handler interface {
	ServeExchange(x *Exchange)
}

// Finisher is a Handler that wants to know when the answer is out.
type Finisher interface {
	// FinishExchange is called once for each ServeExchange, when the answer is out, or is
	// broken off because of err. The Response is still there, with what was Sent.
	FinishExchange(x *Exchange, err error)
}

var pool = sync.Pool{New: func() any { return new(Exchange) }}

// Acquire takes an empty Exchange from the pool.
func Acquire() *Exchange { return pool.Get().(*Exchange) }

// Release gives x back. Nothing that x returned may be used afterwards.
func (x *Exchange) Release() {
	x.Reset()
	pool.Put(x)
}

// Reset makes x empty for another request. Nothing that x returned may be used afterwards.
func (x *Exchange) Reset() {
	x.Header.Reset()
	x.Trailer.Reset()
	x.Response.Reset()
	if cap(x.prefix) > 64<<10 {
		x.prefix = nil
	}
	*x = Exchange{Header: x.Header, Trailer: x.Trailer, Response: x.Response, prefix: x.prefix[:0]}
}
