package cache

import (
	"errors"
	"strconv"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// ErrNotCached answers a request with only-if-cached (RFC 9111 5.2.1.7) that finds
// nothing; the client gets 504.
var ErrNotCached = errors.New("cache: nothing stored and the request says only-if-cached")

// Status says where an answer came from.
type Status string

// The statuses.
const (
	Hit       Status = "hit"       // from memory
	Miss      Status = "miss"      // from the upstream
	Collapsed Status = "collapsed" // from another request's fetch, or its error
	Stale     Status = "stale"     // from memory, past its freshness, since the upstream failed
	Bypass    Status = "bypass"    // from the upstream, without a look
)

// Request says how one exchange uses the cache.
type Request struct {
	// Key is a hash of everything that makes one answer differ from another, as a tuple.
	Key [32]byte
	// Group is whose entry it is; nil is a group of its own that nobody can flush.
	Group *Group
	// TTL is how long an answer is fresh, whatever the answer says; 0 is what it says.
	TTL time.Duration
	// Bypass neither looks up nor stores.
	Bypass bool
	// PerIdentity says that Key holds the client's identity, so that an answer to a request
	// with Authorization may be kept.
	PerIdentity bool
	// AllowInvalidate honours the request's Cache-Control: no-cache and max-age=0: fetch, and
	// replace what is stored. Otherwise they are ignored, so that no client can empty the cache.
	AllowInvalidate bool
}

// Serve fills x.Response, which is empty, from memory or by fetch, which fills it and
// leaves x.Header as it is. Validators of the request (If-None-Match, If-Modified-Since) are
// answered here and are not in x.Header while fetch runs for an answer to be stored.
//
// When another request of the same key is being fetched, Serve waits for it, but not
// longer than x.Context; it shares the other's answer if that is stored, and its error
// unless the other's client went away. Errors are those of fetch, of reading its stream,
// of x.Context, and [ErrNotCached].
func (c *Cache) Serve(x *exchange.Exchange, r Request, fetch func() error) (Status, error) {
	if why := bypass(x, &r); why != "" {
		err := fetch()
		tell(x, why)
		return Bypass, err
	}
	s := serving{Cache: c, x: x, r: r, fetch: fetch, asked: directivesOf(&x.Header)}
	if !r.AllowInvalidate || !s.asked.invalidates() {
		if s.lookup(); s.found != nil {
			return s.hit(s.found, Hit), nil
		}
	} else {
		s.key, s.why = r.Key, "request"
	}
	switch {
	case s.asked.onlyIfCached:
		return Miss, ErrNotCached
	case s.asked.noStore || x.Method == "HEAD":
		err := fetch()
		tell(x, "wasmgate; fwd="+s.why)
		return Miss, err
	case s.pass || s.why == "request" || x.Header.Has("authorization") && !r.PerIdentity:
		// Whether the answer may be shared hangs on this very request: nobody waits for it.
		return s.alone(nil)
	}
	return s.together()
}

// bypass is the Cache-Status of a request that the cache has nothing to do with.
func bypass(x *exchange.Exchange, r *Request) string {
	if r.Bypass {
		return "wasmgate; fwd=bypass"
	}
	if x.Method != "GET" && x.Method != "HEAD" {
		return "wasmgate; fwd=method"
	}
	// The key knows nothing of a body, so a GET with one could plant an answer for all.
	if x.BodyLength != 0 || x.Body != nil {
		return "wasmgate; fwd=bypass; detail=body"
	}
	for _, name := range [...]string{"range", "if-match", "if-unmodified-since", "if-range"} {
		if x.Header.Has(name) {
			return "wasmgate; fwd=bypass; detail=" + name
		}
	}
	return ""
}

func tell(x *exchange.Exchange, status string) { x.Response.Header.Add("cache-status", status) }

// serving is one Serve that is no bypass.
type serving struct {
	*Cache
	x     *exchange.Exchange
	r     Request // a copy: the tee outlives Serve
	fetch func() error
	asked directives

	key   [32]byte // of the variant, as far as it is known
	found *entry   // fresh
	stale *entry
	pass  bool   // an answer of this key could not be stored just now
	why   string // the fwd of Cache-Status
}

// lookup fills found, or stale, pass and why.
func (s *serving) lookup() {
	s.key, s.found, s.stale, s.pass, s.why = s.r.Key, nil, nil, false, "uri-miss"
	e := s.get(&s.key, &s.r)
	if e != nil && e.kind == variants {
		s.key, s.why = variant(&s.r.Key, e.vary, &s.x.Header), "vary-miss"
		e = s.get(&s.key, &s.r)
	}
	switch now := s.options.Now(); {
	case e == nil || e.kind == variants:
	case e.kind == passing:
		s.pass = now.Before(e.expires)
	case now.Before(e.expires):
		s.found = e
	default:
		s.stale, s.why = e, "stale"
	}
}

// hit answers with e.
func (s *serving) hit(e *entry, status Status) Status {
	now := s.options.Now()
	e.serve(s.x, status, now)
	var line [96]byte
	text := append(line[:0], "wasmgate; "...)
	switch status {
	case Collapsed:
		text = append(append(append(text, "fwd="...), s.why...), "; collapsed"...)
	case Miss:
		text = append(append(append(text, "fwd="...), s.why...), "; stored"...)
	case Stale:
		text = append(text, "fwd=stale; detail=stale-on-error; ttl="...)
	default:
		text = append(text, "hit; ttl="...)
	}
	if status == Hit || status == Stale {
		text = strconv.AppendInt(text, int64(e.expires.Sub(now)/time.Second), 10)
	}
	s.x.Response.Header.AddBytes("cache-status", text)
	return status
}
