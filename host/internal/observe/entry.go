package observe

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// Entry is one line of the access log, in the words of Amazon's $context. Nothing of it
// is kept after [Observer.Log].
type Entry struct {
	// Seed is the request's, for sampling.
	Seed uint64
	// Time is when the request's head was complete.
	Time      time.Time
	RequestID string
	// APIID, Stage and RouteKey are empty where no route matched.
	APIID, Stage, RouteKey string
	Domain                 string // the request's authority
	Method                 string
	Path, Query            string // as the client sent them
	Protocol               string
	Status                 int
	ResponseLength         int64 // bytes of body that were sent
	ResponseLatency        time.Duration
	// IntegrationLatency and IntegrationStatus are 0 where the integration was not called.
	IntegrationLatency time.Duration
	IntegrationStatus  int
	CacheStatus        string
	SourceIP           netip.Addr
	UserAgent          []byte
	PrincipalID        string
	APIKeyID           string // never the key
	// ErrorType and ErrorMessage are the gateway response's and what the client read.
	ErrorType, ErrorMessage string
	// Reason is for the operator: why a plugin denied or failed.
	Reason string
	// Labels are what observe hooks said.
	Labels []Label
}

// Label is a name and a value from a plugin.
type Label struct{ Name, Value string }

// fieldMax bounds what one field takes in a line: a URL may be as long as its limit.
const fieldMax = 4 << 10

// append adds e as one line of JSON. Empty fields are left out.
func (e *Entry) append(dst []byte, r *redactor, scratch *[]byte) []byte {
	w := line{b: append(dst, `{"requestTime":"`...)}
	w.b = e.Time.UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000Z")
	w.b = append(w.b, '"')
	w.string("requestId", e.RequestID)
	w.string("apiId", e.APIID)
	w.string("stage", e.Stage)
	w.string("routeKey", e.RouteKey)
	w.string("domainName", e.Domain)
	w.string("httpMethod", e.Method)
	w.string("path", e.Path)
	if e.Query != "" {
		*scratch = r.appendQuery((*scratch)[:0], e.Query)
		w.bytes("query", *scratch)
	}
	w.string("protocol", e.Protocol)
	w.number("status", int64(e.Status))
	w.number("responseLength", e.ResponseLength)
	w.millis("responseLatency", e.ResponseLatency)
	if e.IntegrationLatency > 0 {
		w.millis("integrationLatency", e.IntegrationLatency)
	}
	if e.IntegrationStatus > 0 {
		w.number("integrationStatus", int64(e.IntegrationStatus))
	}
	w.string("cacheStatus", e.CacheStatus)
	w.open("identity")
	if e.SourceIP.IsValid() {
		w.key("sourceIp")
		w.b = append(e.SourceIP.AppendTo(append(w.b, '"')), '"')
	}
	w.bytes("userAgent", e.UserAgent)
	w.string("apiKeyId", e.APIKeyID)
	w.close()
	if e.PrincipalID != "" {
		w.open("authorizer")
		w.string("principalId", e.PrincipalID)
		w.close()
	}
	if e.ErrorType != "" || e.ErrorMessage != "" || e.Reason != "" {
		w.open("error")
		w.string("responseType", e.ErrorType)
		w.string("message", e.ErrorMessage)
		w.string("reason", e.Reason)
		w.close()
	}
	if len(e.Labels) > 0 {
		w.open("labels")
		for i := range e.Labels {
			value := e.Labels[i].Value
			if r.secret(e.Labels[i].Name) || isJWT(value) {
				value = redacted
			}
			w.label(e.Labels[i].Name, value)
		}
		w.close()
	}
	return append(w.b, '}', '\n')
}

// line writes members of JSON objects. Names are constants but for those of labels.
type line struct{ b []byte }

func (w *line) comma() {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
}

func (w *line) key(name string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *line) label(name, v string) {
	w.comma()
	w.b = append(appendString(append(w.b, '"'), name), `":"`...)
	w.b = append(appendString(w.b, v), '"')
}

func (w *line) open(name string) {
	w.key(name)
	w.b = append(w.b, '{')
}

func (w *line) close() { w.b = append(w.b, '}') }

func (w *line) string(name, v string) {
	if v != "" {
		w.key(name)
		w.b = append(appendString(append(w.b, '"'), v), '"')
	}
}

func (w *line) bytes(name string, v []byte) {
	if len(v) > 0 {
		w.key(name)
		w.b = append(appendString(append(w.b, '"'), v), '"')
	}
}

func (w *line) number(name string, v int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

// millis writes milliseconds, as Amazon does, with three more digits.
func (w *line) millis(name string, d time.Duration) {
	w.key(name)
	w.b = strconv.AppendFloat(w.b, float64(d.Round(time.Microsecond))/1e6, 'f', -1, 64)
}

// appendString appends v as the inside of a JSON string. Control characters are escaped,
// also DEL and C1 (U+0080 to U+009F), with which a client could drive the terminal of who
// reads the log, and the line separators; what is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](dst []byte, v T) []byte {
	cut := len(v) > fieldMax
	if cut {
		v = v[:fieldMax]
	}
	start := 0
	for i := 0; i < len(v); {
		c := v[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, v[start:i]...)
			if c == '"' || c == '\\' {
				dst = append(dst, '\\', c)
			} else {
				dst = appendEscape(dst, rune(c))
			}
			i++
			start = i
			continue
		}
		r, size := decodeRune(v[i:])
		if r == utf8.RuneError && size == 1 || r <= 0x9f || r == '\u2028' || r == '\u2029' {
			dst = appendEscape(append(dst, v[start:i]...), r)
			start = i + size
		}
		i += size
	}
	dst = append(dst, v[start:]...)
	if cut {
		dst = append(dst, "\u2026"...)
	}
	return dst
}

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

func decodeRune[T string | []byte](v T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], v)])
}
