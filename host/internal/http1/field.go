package http1

import "bytes"

// parseField reads the field line at buf[at:]: its name, made lower case in place, its
// value without the blanks around it, and where the next line starts. The caller has
// seen that the line is not the empty one that ends a section.
func parseField(buf []byte, at int) (name, value []byte, next int, err error) {
	i := at
	for i < len(buf) {
		c := lower[buf[i]]
		if c == 0 {
			break
		}
		buf[i] = c
		i++
	}
	if i == len(buf) {
		return nil, nil, 0, ErrIncomplete
	}
	if buf[i] != ':' || i == at {
		return nil, nil, 0, nameFault(buf, at, i)
	}
	name = buf[at:i:i]
	i++
	for i < len(buf) && (buf[i] == ' ' || buf[i] == '\t') {
		i++
	}
	end := textEnd(buf, i)
	if end+1 >= len(buf) && (end == len(buf) || buf[end] == '\r') {
		return nil, nil, 0, ErrIncomplete
	}
	switch {
	case buf[end] == '\n':
		return nil, nil, 0, errBareLF
	case buf[end] != '\r':
		return nil, nil, 0, errValue
	case buf[end+1] != '\n':
		return nil, nil, 0, errBareCR
	}
	next = end + 2
	for end > i && (buf[end-1] == ' ' || buf[end-1] == '\t') {
		end--
	}
	return name, buf[i:end:end], next, nil
}

// nameFault says what is wrong with the byte at i, which ends the name that starts at at,
// or that more bytes are needed to say it.
func nameFault(buf []byte, at, i int) error {
	switch c := buf[i]; {
	case (c == ' ' || c == '\t') && i == at:
		return errFold
	case c == ' ' || c == '\t':
		return errNameBlank
	case c == ':':
		return errNameEmpty
	case c == '\n':
		return errBareLF
	case c == '\r' && i+1 == len(buf):
		return ErrIncomplete
	case c == '\r' && buf[i+1] != '\n':
		return errBareCR
	}
	return errName
}

// endOfSection tells whether the line at buf[at:] is the empty line that ends a field section.
func endOfSection(buf []byte, at int) (bool, error) {
	switch {
	case at >= len(buf):
		return false, ErrIncomplete
	case buf[at] == '\n':
		return false, errBareLF
	case buf[at] != '\r':
		return false, nil
	case at+1 == len(buf):
		return false, ErrIncomplete
	case buf[at+1] != '\n':
		return false, errBareCR
	}
	return true, nil
}

// mayEndLine tells whether the bytes from seen on can end a line or break one, so that
// parsing again leads further.
func mayEndLine(buf []byte, seen int) bool {
	return bytes.IndexByte(buf[seen:], '\n') >= 0 || seen > 0 && buf[seen-1] == '\r' && seen < len(buf)
}

// class is what a field name means to a gateway.
type class uint8

const (
	plain            class = iota
	guarded                // end to end, and no stranger may hide or repeat it: never a connection option, never a trailer
	late                   // may not be a trailer (RFC 9110 6.5.1)
	host                   // the rest never passes as a field
	contentLength          //
	transferEncoding       //
	connection             //
	te                     //
	expect                 //
	hop                    // hop-by-hop (RFC 9110 7.6.1)
	ours                   // set by the gateway, dropped when a stranger sends it
)

// classOf is the class of a lower-case name. A name with _ belongs to the class of the
// name with - : upstreams that turn fields into variables (CGI, WSGI) see one and the
// same (CVE-2025-64484, CVE-2026-33433), so what would hide behind it is "ours".
func classOf(name []byte) class {
	c := classOfExact(name)
	if c != plain || bytes.IndexByte(name, '_') < 0 {
		return c
	}
	var spelled [64]byte
	if len(name) > len(spelled) {
		return plain
	}
	for i, b := range name {
		if b == '_' {
			b = '-'
		}
		spelled[i] = b
	}
	switch classOfExact(spelled[:len(name)]) {
	case plain, late:
		return plain
	}
	return ours
}

func classOfExact(name []byte) class {
	switch string(name) {
	case "accept", "accept-encoding", "accept-language", "user-agent", "origin", "referer":
		return plain
	case "authorization", "cookie", "set-cookie", "content-type", "content-encoding", "content-range",
		"x-api-key", "x-amzn-trace-id", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256":
		return guarded
	case "age", "cache-control", "content-language", "content-location", "date", "expires", "if-match",
		"if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "location", "max-forwards",
		"pragma", "range", "retry-after", "vary", "warning", "www-authenticate", "authentication-info",
		"content-disposition":
		return late
	case "host":
		return host
	case "content-length":
		return contentLength
	case "transfer-encoding":
		return transferEncoding
	case "connection":
		return connection
	case "te":
		return te
	case "expect":
		return expect
	case "keep-alive", "proxy-connection", "trailer", "upgrade", "http2-settings",
		"proxy-authenticate", "proxy-authorization", "proxy-authentication-info":
		return hop
	case "forwarded", "x-real-ip", "x-amzn-requestid", "x-amzn-request-id",
		"x-amzn-errortype":
		return ours
	}
	if len(name) > 7 && string(name[:2]) == "x-" && hasPrefix(name, "x-forwarded-", "x-amzn-apigateway-",
		"x-amzn-oidc-", "x-amzn-mtls-", "x-amzn-vpc", "x-amzn-remapped-") {
		return ours
	}
	return plain
}

func hasPrefix(name []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(name) >= len(p) && string(name[:len(p)]) == p {
			return true
		}
	}
	return false
}

// CheckField checks a field of HTTP/2 (RFC 9113 8.2.1) or one that somebody wants to add:
// name is a lower-case token, value has no control byte and no blank around it.
func CheckField(name, value []byte) error {
	if len(name) == 0 {
		return errNameEmpty
	}
	for _, c := range name {
		switch l := lower[c]; {
		case l == 0:
			return errName
		case l != c:
			return errNameCase
		}
	}
	if textEnd(value, 0) != len(value) {
		return errValue
	}
	if len(trim(value)) != len(value) {
		return errValueBlank
	}
	return nil
}

// CheckTrailer is CheckField for a trailer: fields that would mean something before the
// body are refused (RFC 9110 6.5.1).
func CheckTrailer(name, value []byte) error {
	if err := CheckField(name, value); err != nil {
		return err
	}
	if classOf(name) != plain {
		return errTrailer
	}
	return nil
}

// Shadows tells whether a client's field, name in lower case, would pass for ours, lower
// case too, in an upstream that takes _ and - for the same byte.
func Shadows(name []byte, ours string) bool {
	if len(name) != len(ours) {
		return false
	}
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		o := ours[i]
		if o == '_' {
			o = '-'
		}
		if c != o {
			return false
		}
	}
	return true
}
