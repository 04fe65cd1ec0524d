package observe

import (
	"bytes"
	"strings"
)

const redacted = "[redacted]"

// redactor knows the names whose values are secrets.
type redactor struct{ query map[string]bool }

func newRedactor(query []string) redactor {
	r := redactor{query: map[string]bool{}}
	for _, n := range query {
		r.query[strings.ToLower(n)] = true
	}
	return r
}

// appendQuery appends the raw query with the values of secret parameters replaced. Names
// are compared as a server would read them: percent-decoded, in any case; and what has
// the form of a JWT is a secret under any name.
func (r *redactor) appendQuery(dst []byte, query string) []byte {
	for query != "" {
		var pair string
		sep := strings.IndexAny(query, "&;") // some servers split at a semicolon too
		if sep < 0 {
			pair, query = query, ""
		} else {
			pair = query[:sep]
		}
		name, value, found := strings.Cut(pair, "=")
		dst = append(dst, name...)
		if found {
			dst = append(dst, '=')
			if r.secret(name) || isJWT(value) {
				value = redacted
			}
			dst = append(dst, value...)
		}
		if sep >= 0 {
			dst = append(dst, query[sep])
			query = query[sep+1:]
		}
	}
	return dst
}

func (r *redactor) secret(name string) bool {
	var buf [64]byte
	decoded := buf[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		// Twice encoded names are decoded twice: an upstream may do so.
		for c == '%' && i+2 < len(name) {
			hi, lo := unhex(name[i+1]), unhex(name[i+2])
			if hi < 0 || lo < 0 {
				break
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		if len(decoded) == cap(decoded) {
			return false // longer than any name that is known
		}
		decoded = append(decoded, c)
	}
	if bracket := bytes.IndexByte(decoded, '['); bracket > 0 {
		decoded = decoded[:bracket] // token[] and token[0]
	}
	for i, c := range decoded {
		if 'A' <= c && c <= 'Z' {
			decoded[i] = c + 'a' - 'A'
		}
	}
	return r.query[string(decoded)]
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// isJWT tells whether v starts like a JSON object in base64url and has three parts.
func isJWT(v string) bool { return strings.HasPrefix(v, "eyJ") && strings.Count(v, ".") >= 2 }

// SecretQuery tells of the name of a query parameter, as it stands in a raw query, whether its
// value is a secret when those of names are.
func SecretQuery(names []string) func(name string) bool {
	r := newRedactor(names)
	return r.secret
}
