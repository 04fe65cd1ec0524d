package http1

import (
	"net/netip"
	"strings"
)

// Target bytes. RFC 3986 allows fewer in a path or query; the others below are what
// clients send raw and every upstream reads alike. Not among them: blanks, control and
// non-ASCII bytes, '#' and '\', on which readers differ (threats: path normalisation).
const (
	targetBad = iota
	targetOK
	targetPercent
	targetQuery
)

var targetByte = func() (t [256]uint8) {
	for c := '!'; c <= '~'; c++ {
		t[c] = targetOK
	}
	t['#'], t['\\'], t['%'], t['?'] = targetBad, targetBad, targetPercent, targetQuery
	return t
}()

// scanTarget finds the end of the path and of the target that starts at b[0], up to the
// first byte that no target has. pathEnd is where the question mark stands, or end.
func scanTarget(b []byte) (pathEnd, end int, err error) {
	pathEnd = -1
	for i, c := range b {
		switch targetByte[c] {
		case targetBad:
			if pathEnd < 0 {
				pathEnd = i
			}
			return pathEnd, i, nil
		case targetQuery:
			if pathEnd < 0 {
				pathEnd = i
			}
		case targetPercent:
			// In a query a lone % is common and nobody decodes it on the way; in a path two
			if pathEnd < 0 && i+2 < len(b) && (hexDigit(b[i+1]) > 15 || hexDigit(b[i+2]) > 15) {
				return 0, 0, errTargetPercent
			}
		}
	}
	if pathEnd < 0 {
		pathEnd = len(b)
	}
	return pathEnd, len(b), nil
}

// CheckTarget checks a path and query that came by another way than [Request.Parse]
// (HTTP/2's :path, a plugin): the same bytes, starting with a slash, or "*".
func CheckTarget(method, path, query string, emptyQuery bool) error {
	if path == "*" && query == "" && !emptyQuery {
		if method != "OPTIONS" {
			return errAsterisk
		}
		return nil
	}
	if len(path) == 0 || path[0] != '/' {
		return errTargetForm
	}
	for i := range len(path) {
		switch targetByte[path[i]] {
		case targetBad, targetQuery:
			return targetFault(path[i])
		case targetPercent:
			if i+2 >= len(path) || hexDigit(path[i+1]) > 15 || hexDigit(path[i+2]) > 15 {
				return errTargetPercent
			}
		}
	}
	for i := range len(query) {
		if targetByte[query[i]] == targetBad {
			return targetFault(query[i])
		}
	}
	return nil
}

func targetFault(c byte) error {
	if c == '#' {
		return errFragment
	}
	return errTarget
}

// CheckMethod checks a method: a token, and neither CONNECT nor, unless trace, TRACE.
func CheckMethod(method string, trace bool) error {
	switch {
	case method == "CONNECT":
		return errConnect
	case method == "TRACE" && !trace:
		return errTrace
	case !isToken(method):
		return errMethod
	case len(method) > maxMethod:
		return errMethodLong
	}
	return nil
}

// parseAuthority checks a host with an optional port and makes it lower case in place.
// An empty port is cut off.
func parseAuthority(b []byte) ([]byte, error) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	n, err := checkAuthority(alias(b))
	return b[:n:n], err
}

// CheckAuthority checks a host and port that came by another way than [Request.Parse]
// (HTTP/2's :authority) and returns them in lower case. b is changed.
func CheckAuthority(b []byte) ([]byte, error) { return parseAuthority(b) }

// checkAuthority checks a lower-case host with an optional port and gives the length
// without an empty port. The grammar (RFC 3986 3.2) is wider: a comma, an @ or
// percent-encoding in a host is how one name passes for another, and no name in use has them.
func checkAuthority(s string) (int, error) {
	if len(s) == 0 || len(s) > 261 { // 255 for a name, 6 for the port
		return 0, errHost
	}
	end := 0
	if s[0] == '[' {
		end = strings.IndexByte(s, ']') + 1
		if end == 0 || strings.IndexByte(s[:end], '%') >= 0 {
			return 0, errHost
		}
		if a, err := netip.ParseAddr(s[1 : end-1]); err != nil || !a.Is6() {
			return 0, errHost
		}
	} else {
		for end < len(s) && hostByte(s[end]) {
			end++
		}
	}
	rest := s[end:]
	switch {
	case strings.IndexByte(rest, '@') >= 0:
		return 0, errUserinfo
	case end == 0 || rest != "" && !isPort(rest):
		return 0, errHost
	case rest == ":":
		return end, nil
	}
	return len(s), nil
}

// isPort tells whether s is a colon and a port, which may be empty.
func isPort(s string) bool {
	if s[0] != ':' || len(s) > len(":65535") {
		return false
	}
	port := 0
	for i := 1; i < len(s); i++ {
		if !digit(s[i]) {
			return false
		}
		port = port*10 + int(s[i]-'0')
	}
	return port <= 65535
}

// hostByte tells whether c stands in host names and IPv4 addresses, in lower case.
func hostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || digit(c) || c == '-' || c == '.' || c == '_' || c == '~'
}
