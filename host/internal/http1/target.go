package http1

import "net/netip"

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
func CheckTarget(method, path, query string) error {
	if path == "*" && query == "" {
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
// The grammar (RFC 3986 3.2) is wider: a comma, an @ or percent-encoding in a host is
// how one name passes for another, and no name in use has them. An empty port is cut off.
func parseAuthority(b []byte) ([]byte, error) {
	if len(b) == 0 || len(b) > 261 { // 255 for a name, 6 for the port
		return nil, errHost
	}
	end := 0
	if b[0] == '[' {
		end = 1
		for end < len(b) && b[end] != ']' {
			b[end] = lowerHost(b[end])
			end++
		}
		if end == len(b) {
			return nil, errHost
		}
		if a, err := netip.ParseAddr(alias(b[1:end])); err != nil || !a.Is6() {
			return nil, errHost
		}
		end++
	} else {
		for end < len(b) && b[end] != ':' {
			c := lowerHost(b[end])
			if c == 0 {
				if b[end] == '@' {
					return nil, errUserinfo
				}
				return nil, errHost
			}
			b[end] = c
			end++
		}
		if end == 0 {
			return nil, errHost
		}
	}
	return parsePort(b, end)
}

// parsePort checks what follows the host that ends at end.
func parsePort(b []byte, end int) ([]byte, error) {
	if end == len(b) {
		return b, nil
	}
	if b[end] != ':' {
		return nil, errHost
	}
	port := 0
	for i, c := range b[end+1:] {
		if c < '0' || c > '9' || i > 4 {
			for _, c := range b[end+1:] {
				if c == '@' {
					return nil, errUserinfo
				}
			}
			return nil, errHost
		}
		port = port*10 + int(c-'0')
	}
	if port > 65535 {
		return nil, errHost
	}
	if end+1 == len(b) {
		return b[:end:end], nil
	}
	return b, nil
}

// lowerHost is the lower-case form of a byte of a host name or address, 0 for others.
func lowerHost(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == ':':
		return c
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	}
	return 0
}

// CheckAuthority checks a host and port that came by another way than [Request.Parse]
// (HTTP/2's :authority) and returns them in lower case. b is changed.
func CheckAuthority(b []byte) ([]byte, error) { return parseAuthority(b) }
