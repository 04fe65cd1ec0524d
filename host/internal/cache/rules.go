package cache

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

const (
	dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"
	maxVary    = 16
	maxTTL     = 365 * 24 * time.Hour
)

// storable is the entry, still without a body, for the answer in x.Response, that was
// asked for at sent and came at got; nil when it may not be stored.
func (s *serving) storable(sent, got time.Time) *entry {
	resp, request := &s.x.Response, &s.x.Header
	says := directivesOf(&resp.Header)
	switch {
	case says.malformed, says.noStore, says.private, says.noCache:
		return nil
	case resp.Status < 200, resp.Status == 206, resp.Status == 304, resp.Status > 599:
		return nil
	case resp.Header.Has("set-cookie"), resp.Header.Has("content-range"), resp.Trailer.Len() > 0:
		return nil
	case resp.Stream != nil && resp.Length > s.options.MaxEntry, int64(len(resp.Body)) > s.options.MaxEntry:
		return nil
	case request.Has("authorization") && !s.r.PerIdentity &&
		!says.public && !says.mustRevalidate && says.sMaxAge == absent: // RFC 9111 3.5
		return nil
	}
	vary, ok := varyOf(&resp.Header)
	if !ok {
		return nil
	}
	age := initialAge(&resp.Header, sent, got)
	e := &entry{status: resp.Status, vary: vary, born: got.Add(-age)}
	switch lifetime, explicit := says.lifetime(&resp.Header, got); {
	case s.r.TTL > 0 && (heuristic(resp.Status) || explicit || says.public):
		e.expires = got.Add(min(s.r.TTL, maxTTL))
	case s.r.TTL == 0 && explicit && lifetime > age:
		e.expires = e.born.Add(lifetime)
	default:
		return nil
	}
	if !says.mustRevalidate && !says.proxyRevalidate && says.sMaxAge == absent { // RFC 9111 4.2.4, 5.2.2.10
		e.grace = s.options.StaleOnError
		if says.staleIfError >= 0 {
			e.grace = min(time.Duration(says.staleIfError)*time.Second, maxTTL)
		}
	}
	e.key = variant(&s.r.Key, vary, request)
	e.copyFields(&resp.Header, got)
	if at := resp.Header.Get("last-modified"); at != nil {
		e.modified, _ = httpDate(at)
	}
	return e
}

// heuristic tells whether a status may be stored for a time that the answer did not ask
// for: RFC 9110 15.1, without those that tell of the request rather than the resource.
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 410:
		return true
	}
	return false
}

// initialAge is corrected_initial_age of RFC 9111 4.2.3.
func initialAge(h *exchange.Header, sent, got time.Time) time.Duration {
	delay := max(got.Sub(sent), 0)
	age := delay
	if n := seconds(h.Get("age")); n >= 0 {
		age += time.Duration(n) * time.Second
	}
	if date, ok := httpDate(h.Get("date")); ok {
		age = max(age, got.Sub(date))
	}
	return age
}

// lifetime is freshness_lifetime of RFC 9111 4.2.1, if the answer states one: what is
// stated twice or wrongly is stale.
func (d *directives) lifetime(h *exchange.Header, got time.Time) (life time.Duration, explicit bool) {
	for _, n := range [...]int64{d.sMaxAge, d.maxAge} {
		if n != absent {
			return time.Duration(max(n, 0)) * time.Second, true
		}
	}
	var expires []byte
	for value := range h.Values("expires") {
		if explicit {
			return 0, true
		}
		expires, explicit = value, true
	}
	if !explicit {
		return 0, false
	}
	at, ok := httpDate(expires)
	if !ok {
		return 0, true
	}
	if date, ok := httpDate(h.Get("date")); ok {
		got = date
	}
	return min(max(at.Sub(got), 0), maxTTL), true
}

// varyOf is the names in Vary, lower case and sorted. It reports false for a star, for too
// many, and for fields that are not in the request as the cache sees it: the gateway makes
// them for the upstream, so answers of different clients would be taken for the same.
func varyOf(h *exchange.Header) (names []string, ok bool) {
	for value := range h.Values("vary") {
		for item := range bytes.SplitSeq(value, []byte(",")) {
			switch name := string(bytes.ToLower(bytes.Trim(item, " \t"))); name {
			case "":
			case "*", "host", "forwarded", "via", "x-amzn-trace-id", "x-forwarded-for",
				"x-forwarded-port", "x-forwarded-proto", "x-forwarded-host":
				return nil, false
			default:
				names = append(names, name)
			}
		}
	}
	if h.Has("content-encoding") {
		// An upstream that encodes and does not say that it negotiated still did.
		names = append(names, "accept-encoding")
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names, len(names) <= maxVary
}

// httpDate reads the three forms of RFC 9110 5.6.7.
func httpDate(b []byte) (time.Time, bool) {
	if len(b) == 0 || len(b) > 40 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{dateLayout, "Monday, 02-Jan-06 15:04:05 GMT", "Mon Jan _2 15:04:05 2006"} {
		if at, err := time.Parse(layout, string(b)); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// seconds reads delta-seconds (RFC 9111 1.2.2), cut to 2^31; -1 when b is none.
func seconds(b []byte) int64 {
	if len(b) == 0 {
		return -1
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 1 << 31
	}
	return min(n, 1<<31)
}
