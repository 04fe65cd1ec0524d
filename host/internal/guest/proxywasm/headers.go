package proxywasm

import (
	"bytes"
)

// headerMap is a map as a guest sees it: pseudo headers and headers in their order, each
// value a pair of its own. The zero value is closed: no host function reaches it.
type headerMap struct {
	fields  []field
	open    bool
	changed bool
	fixed   bool                          // it can be read only
	check   func(name, value []byte) bool // nil lets all pass
}

// lower is name in lower case, and itself when it is already.
func lower(name []byte) []byte {
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			return bytes.ToLower(name)
		}
	}
	return name
}

// canonical is the name under which a field is kept: host is what :authority is.
func canonical(name []byte) []byte {
	name = lower(name)
	if string(name) == "host" {
		return []byte(":authority")
	}
	return name
}

// get is the first value of a name.
func (m *headerMap) get(name []byte) ([]byte, bool) {
	name = canonical(name)
	for _, f := range m.fields {
		if bytes.Equal(f.name, name) {
			return f.value, true
		}
	}
	return nil, false
}

// add appends a value. The bytes are copied.
func (m *headerMap) add(name, value []byte) status {
	if name = canonical(name); !m.accepts(name, value) {
		return statusBadArgument
	}
	if name[0] == ':' { // there is one of each
		return m.replace(name, value)
	}
	m.fields = append(m.fields, field{bytes.Clone(name), clone(value)})
	m.changed = true
	return statusOK
}

// replace leaves one value of a name, where the first was.
func (m *headerMap) replace(name, value []byte) status {
	if name = canonical(name); !m.accepts(name, value) {
		return statusBadArgument
	}
	m.changed = true
	kept, found := m.fields[:0], false
	for _, f := range m.fields {
		if bytes.Equal(f.name, name) {
			if found {
				continue
			}
			found, f.value = true, clone(value)
		}
		kept = append(kept, f)
	}
	m.fields = kept
	if !found {
		m.fields = append(m.fields, field{bytes.Clone(name), clone(value)})
	}
	return statusOK
}

// remove takes all values of a name away.
func (m *headerMap) remove(name []byte) {
	name = canonical(name)
	kept := m.fields[:0]
	for _, f := range m.fields {
		if !bytes.Equal(f.name, name) {
			kept = append(kept, f)
		}
	}
	m.changed = m.changed || len(kept) < len(m.fields)
	m.fields = kept
}

// set replaces all there is.
func (m *headerMap) set(fields []field) status {
	for i := range fields {
		fields[i].name = canonical(fields[i].name)
		if !m.accepts(fields[i].name, fields[i].value) {
			return statusBadArgument
		}
		fields[i].value = bytes.Trim(fields[i].value, " \t")
	}
	m.fields, m.changed = fields, true
	return statusOK
}

// accepts tells whether a field may stand in a message: a line break would be a header of
// the guest's making, or a second message (RFC 9110 5.5).
func (m *headerMap) accepts(name, value []byte) bool {
	if len(name) == 0 || len(m.fields) >= maxPairs {
		return false
	}
	token := name
	if name[0] == ':' {
		token = name[1:]
	}
	return isToken(token) && isFieldValue(value) && (m.check == nil || m.check(name, value))
}

// clone copies a value, without the blanks at its ends that no field value has.
func clone(value []byte) []byte { return append([]byte{}, bytes.Trim(value, " \t")...) }

// isToken: RFC 9110 5.6.2.
func isToken(s []byte) bool {
	for _, c := range s {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(s) > 0
}

// isFieldValue: RFC 9110 5.5.
func isFieldValue(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// isTarget: an origin-form as it stands in a request line, or the asterisk of OPTIONS.
func isTarget(v []byte) bool {
	return (len(v) > 0 && v[0] == '/' || string(v) == "*") && !bytes.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c == '#' || c >= 0x7f })
}

// isAuthority: a Host as http1 would take it from a client.
func isAuthority(v []byte) bool {
	return len(v) > 0 && !bytes.ContainsFunc(v, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || bytes.ContainsRune([]byte(`/?#@\,`), c)
	})
}

// requestField tells whether a guest may set this in the head of a request.
func requestField(name, value []byte) bool {
	switch string(name) {
	case ":method":
		return isToken(value)
	case ":path":
		return isTarget(value)
	case ":authority":
		return isAuthority(value)
	case ":scheme":
		return string(value) == "http" || string(value) == "https"
	}
	return name[0] != ':'
}

// responseField tells whether a guest may set this in the head of a response.
func responseField(name, value []byte) bool {
	if string(name) == ":status" {
		return len(value) == 3 && value[0] >= '2' && value[0] <= '5' && isDigit(value[1]) && isDigit(value[2])
	}
	return name[0] != ':'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// trailerField tells whether a guest may set this as a trailer.
func trailerField(name, _ []byte) bool { return name[0] != ':' && !isFraming(name) }

// isFraming tells what belongs to the connection and its framing: a guest sees it and may
// change what it sees, the message does not follow (RFC 9110 7.6.1, RFC 9112 6).
func isFraming(name []byte) bool {
	switch string(name) {
	case "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "http2-settings":
		return true
	}
	return false
}
