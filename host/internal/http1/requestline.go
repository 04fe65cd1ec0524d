package http1

import "bytes"

// parseLine reads the request line (RFC 9112 3) and sets q.at behind it.
func (q *Request) parseLine(buf []byte, lim *Limits) error {
	at := 0
	if len(buf) > 0 && (buf[0] == '\r' || buf[0] == '\n') {
		// One empty line before a request is robustness that RFC 9112 2.2 asks for.
		if empty, err := endOfSection(buf, 0); !empty {
			return err
		}
		at = 2
	}
	at, err := q.parseMethod(buf, at)
	if err != nil {
		return err
	}
	start := at
	pathEnd, n, err := scanTarget(buf[start:])
	if err != nil {
		return err
	}
	if n > lim.Target {
		return errTargetLong
	}
	if at = start + n; at == len(buf) {
		return ErrIncomplete
	}
	if buf[at] != ' ' {
		return targetEndFault(buf, at)
	}
	if at, err = q.parseVersion(buf, at+1); err != nil {
		return err
	}
	target := buf[start : start+n]
	if err := q.setTarget(target, pathEnd); err != nil {
		return err
	}
	if err := CheckMethod(q.Method, lim.Trace); err != nil {
		return err
	}
	q.at, q.started = at, true
	return nil
}

// parseMethod reads the method and the blank behind it.
func (q *Request) parseMethod(buf []byte, start int) (int, error) {
	at := start
	for at < len(buf) && lower[buf[at]] != 0 {
		at++
	}
	switch {
	case at-start > maxMethod:
		return 0, errMethodLong
	case at == len(buf):
		return 0, ErrIncomplete
	case at == start || buf[at] != ' ':
		return 0, errMethod
	}
	q.Method = methodName(buf[start:at])
	return at + 1, nil
}

// methodName spares the common methods from living as long as the buffer only.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "PATCH":
		return "PATCH"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	}
	return alias(b)
}

// targetEndFault says what is wrong with the byte that ends a target without a blank.
func targetEndFault(buf []byte, at int) error {
	switch c := buf[at]; c {
	case '\r', '\n':
		return errVersion // HTTP/0.9, or a blank is missing
	default:
		return targetFault(c)
	}
}

// parseVersion reads the version and the end of the line.
func (q *Request) parseVersion(buf []byte, at int) (int, error) {
	const version = "HTTP/1.1\r\n"
	rest := buf[at:]
	if len(rest) < len(version) {
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			return 0, lineEndFault(rest[:i+1])
		}
		return 0, ErrIncomplete
	}
	switch string(rest[:len(version)]) {
	case version:
		return at + len(version), nil
	case "HTTP/1.0\r\n":
		q.HTTP10 = true
		return at + len(version), nil
	}
	return 0, lineEndFault(rest[:len(version)])
}

// lineEndFault says what is wrong with a version of at most eight bytes and its line end.
func lineEndFault(b []byte) error {
	if len(b) < len("HTTP/1.1\n") || string(b[:5]) != "HTTP/" || !digit(b[5]) || b[6] != '.' || !digit(b[7]) {
		return errVersion
	}
	switch b[8] {
	case '\n':
		return errBareLF
	case '\r':
		if len(b) > 9 && b[9] != '\n' {
			return errBareCR
		}
		return errVersionOther
	}
	return errVersion
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// setTarget resolves the four forms of RFC 9112 3.2.
func (q *Request) setTarget(target []byte, pathEnd int) error {
	if len(target) == 0 {
		return errTargetForm
	}
	switch {
	case q.Method == "CONNECT":
		return nil // refused by CheckMethod, whatever its target
	case target[0] == '/':
	case string(target) == "*":
		if q.Method != "OPTIONS" {
			return errAsterisk
		}
	default:
		return q.setAbsolute(target, pathEnd)
	}
	q.setPath(target, pathEnd)
	return nil
}

// setAbsolute resolves the absolute form, whose path may be empty (RFC 9112 3.2.2, 3.2.4).
func (q *Request) setAbsolute(target []byte, pathEnd int) error {
	rest := target
	switch {
	case len(rest) > 8 && equalFold(rest[:8], "https://"):
		rest = rest[8:]
	case len(rest) > 7 && equalFold(rest[:7], "http://"):
		rest = rest[7:]
	default:
		return errTargetForm
	}
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	authority, err := parseAuthority(rest[:n])
	if err != nil {
		return err
	}
	q.Authority, q.absolute = alias(authority), true
	if pathEnd -= len(target) - len(rest[n:]); pathEnd > 0 {
		q.setPath(rest[n:], pathEnd)
		return nil
	}
	q.Path = "/"
	if n < len(rest) {
		q.setQuery(rest[n+1:])
	} else if q.Method == "OPTIONS" {
		q.Path = "*"
	}
	return nil
}

func (q *Request) setPath(target []byte, pathEnd int) {
	q.Path = alias(target[:pathEnd])
	if pathEnd < len(target) {
		q.setQuery(target[pathEnd+1:])
	}
}

func (q *Request) setQuery(query []byte) {
	q.Query, q.EmptyQuery = alias(query), len(query) == 0
}
