package http1

import "math"

// Framing says how a message's end is found (RFC 9112 6.3).
type Framing uint8

// The framings. The zero value is a message without a body.
const (
	None       Framing = iota
	Fixed              // by Content-Length
	Chunked            // by the chunked coding
	UntilClose         // by the end of the connection; answers only
)

// framingFields gathers what the framing fields of one head say.
type framingFields struct {
	length   int64
	lengths  uint8
	codings  uint8
	chunked  bool
	unknown  bool // a coding other than chunked
	repeated bool // chunked is not alone
}

// addLength takes a Content-Length. Only digits: no sign, no list, nothing beyond
// 2^63-1; leading zeros are digits (RFC 9110 8.6).
func (f *framingFields) addLength(value []byte) error {
	if f.lengths++; f.lengths > 1 {
		return errLengthTwice
	}
	if len(value) == 0 {
		return errLength
	}
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return errLength
		}
		n = n*10 + d
	}
	f.length = n
	return nil
}

// addCoding takes a Transfer-Encoding.
func (f *framingFields) addCoding(value []byte) {
	if f.codings++; f.codings > 1 {
		f.repeated = true
	}
	switch {
	case equalFold(value, "chunked"):
		f.chunked = true
	case hasChunked(value):
		f.repeated = true
	default:
		f.unknown = true
	}
}

func hasChunked(list []byte) bool {
	for i := range list {
		if len(list)-i >= len("chunked") && equalFold(list[i:i+len("chunked")], "chunked") {
			return true
		}
	}
	return false
}

// resolve is the framing, None when the head names none. Transfer-Encoding beside
// Content-Length, or in HTTP/1.0, is how requests are smuggled (RFC 9112 6.1, 11.2).
func (f *framingFields) resolve(http10 bool) (Framing, int64, error) {
	switch {
	case f.codings == 0 && f.lengths == 0:
		return None, 0, nil
	case f.codings == 0:
		return Fixed, f.length, nil
	case f.lengths > 0:
		return None, 0, errBoth
	case http10:
		return None, 0, errCoding10
	case f.repeated:
		return None, 0, errCodingTwice
	case f.unknown || !f.chunked:
		return None, 0, errCoding
	}
	return Chunked, -1, nil
}
