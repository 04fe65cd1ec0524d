package http1

import (
	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// maxMethod is the longest method in bytes; the longest registered one has 17 (RFC 9110 16.1).
const maxMethod = 32

// Limits are the bounds on one message and what a listener allows beyond the safe
// default. The zero value allows nothing: start with [DefaultLimits].
type Limits struct {
	Fields  int  // fields in a head, and in a trailer section
	Head    int  // bytes of a head, and of a trailer section
	Target  int  // bytes of a request's target
	Trace   bool // TRACE is accepted: some route has it
	Trusted bool // the peer is a trusted proxy: its X-Forwarded-* and Forwarded pass
}

// DefaultLimits are 200 fields, 64 KiB of head, 10,240 bytes of target, no TRACE, no trust.
func DefaultLimits() Limits { return Limits{Fields: 200, Head: 64 << 10, Target: 10240} }

// Request is what the head of a request says. The strings alias the parsed buffer.
type Request struct {
	Method string
	Path   string // "*" for OPTIONS *
	Query  string
	// EmptyQuery says that Path was followed by a question mark and nothing behind it.
	EmptyQuery bool
	Authority  string // lower case; empty only in HTTP/1.0
	Framing    Framing
	Length     int64 // of the body: -1 when chunked, 0 when there is none
	HTTP10     bool
	Close      bool // the client wants no further request on the connection
	Continue   bool // the client waits for 100 (Continue) before it sends the body
	Trailers   bool // the client takes trailers (TE: trailers)

	header   *exchange.Header
	at, seen int // start of the next line; bytes known to hold no further LF
	fields   int
	hosts    int
	absolute bool
	started  bool // the request line was read
	keep     bool // the client asked to keep the connection
	options  bool // header still holds Connection fields to obey
	framing  framingFields
}

// Reset prepares q for a new request, whose fields go to header (emptied).
func (q *Request) Reset(header *exchange.Header) {
	header.Reset()
	*q = Request{header: header}
}

// Parse reads a request head at the start of buf and returns its length. With
// [ErrIncomplete] it wants to be called again with the same bytes and more behind them;
// when they have moved in memory, Reset comes first. Other errors are a [*Refusal]; the
// connection is of no further use then.
//
// Of the fields only those stay in the header that are meant for the gateway's policies
// and the upstream: framing, Host, Expect, hop-by-hop fields and those that only the
// gateway may set are taken out, see [CleanRequest]. buf is changed: names and the
// authority become lower case.
func (q *Request) Parse(buf []byte, lim *Limits) (int, error) {
	if q.seen > 0 && !mayEndLine(buf, q.seen) {
		q.seen = len(buf)
		return 0, q.incomplete(buf, lim)
	}
	// What stands behind the limit is not looked at, however much was received at once.
	n, err := q.parse(buf[:min(len(buf), lim.Head)], lim)
	if err == ErrIncomplete {
		q.seen = len(buf)
		return 0, q.incomplete(buf, lim)
	}
	return n, err
}

// incomplete is the error for a head that has not ended at len(buf).
func (q *Request) incomplete(buf []byte, lim *Limits) error {
	if !q.started && len(buf) > maxMethod+lim.Target+len("\r\n  HTTP/1.1\r\n") {
		return errTargetLong
	}
	if len(buf) >= lim.Head {
		return errHeadTooLarge
	}
	return ErrIncomplete
}

func (q *Request) parse(buf []byte, lim *Limits) (int, error) {
	if !q.started {
		if err := q.parseLine(buf, lim); err != nil {
			return 0, err
		}
	}
	for {
		end, err := endOfSection(buf, q.at)
		if err != nil {
			return 0, err
		}
		if end {
			break
		}
		name, value, next, err := parseField(buf, q.at)
		if err != nil {
			if err == errFold && q.fields == 0 {
				err = errStartBlank
			}
			return 0, err
		}
		if q.fields++; q.fields > lim.Fields {
			return 0, errFieldCount
		}
		if err := q.take(name, value, lim); err != nil {
			return 0, err
		}
		q.at = next
	}
	return q.at + 2, q.finish()
}

// take puts one field where it belongs.
func (q *Request) take(name, value []byte, lim *Limits) error {
	switch classOf(name) {
	case plain, guarded, late:
		q.header.AppendAlias(name, value)
	case host:
		return q.takeHost(value)
	case contentLength:
		return q.framing.addLength(value)
	case transferEncoding:
		q.framing.addCoding(value)
	case connection:
		return q.takeConnection(name, value)
	case te:
		q.Trailers = q.Trailers || hasToken(value, "trailers")
	case expect:
		if !equalFold(value, "100-continue") {
			return errExpect
		}
		q.Continue = true
	case ours:
		if lim.Trusted && forwarded(name) {
			q.header.AppendAlias(name, value)
		}
	}
	return nil
}

// takeHost takes the Host field. With an absolute target the two must agree: RFC 9112
// 3.2.2 lets the target win, but upstreams and caches that look at Host would not.
func (q *Request) takeHost(value []byte) error {
	if q.hosts++; q.hosts > 1 {
		return errHostTwice
	}
	authority, err := parseAuthority(value)
	if err != nil {
		return err
	}
	if q.absolute && string(authority) != q.Authority {
		return errHostDiffers
	}
	q.Authority = alias(authority)
	return nil
}

// takeConnection takes a Connection field; one that names further fields waits in the
// header until all fields are there.
func (q *Request) takeConnection(name, value []byte) error {
	switch {
	case equalFold(value, "keep-alive"):
		q.keep = true
	case equalFold(value, "close"):
		q.Close = true
	default:
		q.options = true
		q.header.AppendAlias(name, value)
	}
	return nil
}

// finish checks what only the whole head shows.
func (q *Request) finish() (err error) {
	if q.hosts == 0 && !q.HTTP10 {
		return errHostMissing
	}
	q.Framing, q.Length, err = q.framing.resolve(q.HTTP10)
	if err != nil {
		return err
	}
	if q.Framing == Fixed && q.Length == 0 {
		q.Framing = None
	}
	if q.options {
		closes, keeps, err := obeyConnection(q.header)
		if err != nil {
			return err
		}
		q.Close, q.keep = q.Close || closes, q.keep || keeps
	}
	if q.HTTP10 {
		q.Close = q.Close || !q.keep
		q.Continue = false // RFC 9110 10.1.1
	}
	if q.Framing == None {
		q.Continue = false
	}
	return nil
}
