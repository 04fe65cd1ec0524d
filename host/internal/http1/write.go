package http1

import (
	"errors"
	"strconv"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// ErrUnwritable says that a head holds something that HTTP/1.1 cannot carry, such as a
// line break in a value: nothing of it may be sent (CWE-113, response splitting).
var ErrUnwritable = errors.New("head holds bytes that HTTP/1.1 cannot carry")

// RequestHead is the head of a request to an upstream.
type RequestHead struct {
	Method string
	Path   string // with its leading slash, or "*"
	Query  string // without question mark
	// EmptyQuery writes the question mark without a Query, too.
	EmptyQuery bool
	Authority  string // Host; must not be empty
	Header     *exchange.Header
	Framing    Framing // None, Fixed or Chunked
	Length     int64   // when Fixed
	Close      bool    // ask for no further answer on the connection
}

// Append appends the head in canonical form: one Host, one framing, lower-case names, no
// hop-by-hop field whatever Header holds. On [ErrUnwritable] dst is returned unchanged.
func (h *RequestHead) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	n, err := checkAuthority(h.Authority)
	if err != nil || n != len(h.Authority) || !isToken(h.Method) || CheckTarget(h.Method, h.Path, h.Query, h.EmptyQuery) != nil {
		return dst, ErrUnwritable
	}
	dst = append(dst, h.Method...)
	dst = append(dst, ' ')
	dst = append(dst, h.Path...)
	if h.Query != "" || h.EmptyQuery {
		dst = append(dst, '?')
		dst = append(dst, h.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\nhost: "...)
	dst = append(dst, h.Authority...)
	dst = append(dst, "\r\n"...)
	dst, ok := appendFields(dst, h.Header)
	if !ok {
		return dst[:start], ErrUnwritable
	}
	framing, length := h.Framing, h.Length
	if framing == None {
		switch h.Method {
		case "POST", "PUT", "PATCH": // RFC 9110 8.6
			framing, length = Fixed, 0
		}
	}
	dst = appendFraming(dst, framing, length)
	if h.Close {
		dst = append(dst, "connection: close\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// ResponseHead is the head of an answer to a client.
type ResponseHead struct {
	Status     int
	Header     *exchange.Header
	Framing    Framing // None writes no framing: 1xx, 204, and HEAD without a known length
	Length     int64   // when Fixed
	Connection string  // "", "close" or "keep-alive"
	Date       string  // RFC 9110 5.6.7; not written when empty or Header has one
}

// Append appends the head in canonical form, like [RequestHead.Append].
func (h *ResponseHead) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	if h.Status < 100 || h.Status > 999 {
		return dst, ErrUnwritable
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(h.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason(h.Status)...)
	dst = append(dst, "\r\n"...)
	dst, ok := appendFields(dst, h.Header)
	if !ok {
		return dst[:start], ErrUnwritable
	}
	if h.Date != "" && !h.Header.Has("date") {
		dst = append(dst, "date: "...)
		dst = append(dst, h.Date...)
		dst = append(dst, "\r\n"...)
	}
	dst = appendFraming(dst, h.Framing, h.Length)
	if h.Connection != "" {
		dst = append(dst, "connection: "...)
		dst = append(dst, h.Connection...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

func appendFraming(dst []byte, f Framing, length int64) []byte {
	switch f {
	case Fixed:
		dst = append(dst, "content-length: "...)
		dst = strconv.AppendInt(dst, length, 10)
		return append(dst, "\r\n"...)
	case Chunked:
		return append(dst, "transfer-encoding: chunked\r\n"...)
	}
	return dst
}

// appendFields appends all fields but framing and hop-by-hop ones; ok is false when a
// name or value cannot be written.
func appendFields(dst []byte, h *exchange.Header) (_ []byte, ok bool) {
	for i := range h.Len() {
		f := h.At(i)
		start := len(dst)
		for _, c := range f.Name {
			l := lower[c]
			if l == 0 {
				return dst, false
			}
			dst = append(dst, l)
		}
		if len(f.Name) == 0 || textEnd(f.Value, 0) != len(f.Value) {
			return dst, false
		}
		switch classOfExact(dst[start:]) {
		case host, contentLength, transferEncoding, connection, te, hop:
			dst = dst[:start]
			continue
		}
		dst = append(dst, ": "...)
		dst = append(dst, f.Value...)
		dst = append(dst, "\r\n"...)
	}
	return dst, true
}

// AppendChunk appends data as one chunk; nothing when data is empty, because an empty
// chunk would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, uint64(len(data)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, data...)
	return append(dst, "\r\n"...)
}

// AppendLastChunk appends the end of a chunked body with its trailers, nil when there are
// none. Fields that may not be trailers are left out.
func AppendLastChunk(dst []byte, trailer *exchange.Header) ([]byte, error) {
	start := len(dst)
	dst = append(dst, "0\r\n"...)
	if trailer != nil {
		for name, value := range trailer.All() {
			if classOf(name) != plain {
				continue
			}
			if CheckField(name, value) != nil {
				return dst[:start], ErrUnwritable
			}
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, value...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...), nil
}

// reason is the reason phrase of a status, empty for an unknown one (RFC 9112 4).
func reason(status int) string {
	switch status {
	case 100:
		return "Continue"
	case 103:
		return "Early Hints"
	case 200:
		return "OK"
	case 201:
		return "Created"
	case 202:
		return "Accepted"
	case 204:
		return "No Content"
	case 206:
		return "Partial Content"
	case 301:
		return "Moved Permanently"
	case 302:
		return "Found"
	case 303:
		return "See Other"
	case 304:
		return "Not Modified"
	case 307:
		return "Temporary Redirect"
	case 308:
		return "Permanent Redirect"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 406:
		return "Not Acceptable"
	}
	return reasonError(status)
}

func reasonError(status int) string {
	switch status {
	case 408:
		return "Request Timeout"
	case 409:
		return "Conflict"
	case 410:
		return "Gone"
	case 412:
		return "Precondition Failed"
	case 413:
		return "Content Too Large"
	case 414:
		return "URI Too Long"
	case 415:
		return "Unsupported Media Type"
	case 416:
		return "Range Not Satisfiable"
	case 417:
		return "Expectation Failed"
	case 421:
		return "Misdirected Request"
	case 422:
		return "Unprocessable Content"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 505:
		return "HTTP Version Not Supported"
	}
	return ""
}
