package hpack

import (
	"bytes"
	"hash/maphash"
	"strconv"
)

const (
	slots    = 64  // of recently seen fields
	maxIndex = 512 // bytes of a field that is worth a place in the table
)

// Encoder writes the header blocks of one connection. Make one with [NewEncoder]. Not
// safe for concurrent use: blocks must be sent in the order in which they are made.
type Encoder struct {
	dyn    table
	limit  int
	update bool // the next block begins with a size update
	seed   maphash.Seed
	seen   *[slots]slot
}

// slot remembers a field by its hash: as entry number-1 of the table, or, when number is
// 0, as seen once.
type slot struct{ hash, number uint32 }

// NewEncoder makes an encoder whose dynamic table has at most size bytes, whatever the
// peer allows. Encoders may share a seed.
func NewEncoder(size int, seed maphash.Seed) *Encoder {
	return &Encoder{dyn: table{max: size}, limit: size, seed: seed}
}

// SetPeerTableSize takes the peer's SETTINGS_HEADER_TABLE_SIZE; it holds from the next
// block on.
func (e *Encoder) SetPeerTableSize(size uint32) {
	n := int(min(size, uint32(e.limit)))
	if n == e.dyn.max {
		return
	}
	// Emptied, so that one way to say it fits all: x/net takes no second update of a table
	// that holds something.
	e.update = true
	e.dyn.resize(0)
	e.dyn.resize(n)
}

// AppendStart begins a block.
func (e *Encoder) AppendStart(dst []byte) []byte {
	if !e.update {
		return dst
	}
	e.update = false
	if dst = append(dst, 0x20); e.dyn.max == 0 {
		return dst
	}
	return appendInt(dst, 0x20, 5, e.dyn.max)
}

// AppendStatus appends :status, of three digits.
func (e *Encoder) AppendStatus(dst []byte, status int) []byte {
	switch status {
	case 200:
		return append(dst, 0x80|8)
	case 204:
		return append(dst, 0x80|9)
	case 206:
		return append(dst, 0x80|10)
	case 304:
		return append(dst, 0x80|11)
	case 400:
		return append(dst, 0x80|12)
	case 404:
		return append(dst, 0x80|13)
	case 500:
		return append(dst, 0x80|14)
	}
	dst = append(dst, 8, 3)
	return strconv.AppendInt(dst, int64(status), 10)
}

// AppendField appends a field; name is lower case.
func (e *Encoder) AppendField(dst, name, value []byte) []byte {
	// A cookie in the table could be guessed at by its effect on length (RFC 7541 7.1.3).
	if string(name) == "set-cookie" {
		return appendLiteral(dst, 0x10, 4, name, value)
	}
	if len(name)+len(value) > maxIndex || e.dyn.max == 0 {
		return appendLiteral(dst, 0, 4, name, value)
	}
	s, known := e.find(name, value)
	switch {
	case !known:
		return appendLiteral(dst, 0, 4, name, value)
	case s.number == 0:
		if e.dyn.insert(name, value) != nil {
			s.number = e.dyn.inserted
		}
		return appendLiteral(dst, 0x40, 6, name, value)
	}
	return appendInt(dst, 0x80, 7, staticLen+1+int(e.dyn.inserted-s.number))
}

// find looks for a field that was seen before; otherwise it makes it one that was.
func (e *Encoder) find(name, value []byte) (s *slot, known bool) {
	if e.seen == nil {
		e.seen = new([slots]slot)
	}
	h := maphash.Bytes(e.seed, value) + uint64(len(name))*0x9e3779b97f4a7c15 + uint64(name[0])<<32
	hash := uint32(h >> 32)
	set := e.seen[h%(slots/2)*2:][:2]
	for i := range set {
		s := &set[i]
		if s.hash != hash {
			continue
		}
		if !e.inTable(s) {
			s.number = 0
			return s, true
		}
		n, v := e.dyn.bytes(e.dyn.entry(s.number - 1))
		if bytes.Equal(n, name) && bytes.Equal(v, value) {
			return s, true
		}
	}
	victim := &set[0]
	if e.inTable(victim) && (!e.inTable(&set[1]) || set[1].number < victim.number) {
		victim = &set[1]
	}
	*victim = slot{hash: hash}
	return nil, false
}

// inTable tells whether the entry of s was not evicted yet.
func (e *Encoder) inTable(s *slot) bool {
	return s.number > 0 && e.dyn.inserted-s.number < uint32(e.dyn.len())
}

// appendLiteral appends a literal whose first byte has those flags and that many bits for
// the name's index. Strings are not Huffman-coded: it costs more time than it saves.
func appendLiteral(dst []byte, flags byte, bits uint, name, value []byte) []byte {
	if i := staticName(name); i > 0 {
		dst = appendInt(dst, flags, bits, i)
	} else {
		dst = append(dst, flags)
		dst = append(appendInt(dst, 0, 7, len(name)), name...)
	}
	return append(appendInt(dst, 0, 7, len(value)), value...)
}

// staticName is the index of a name that answers have in the static table, 0 for others.
func staticName(name []byte) int {
	switch string(name) {
	case "accept-ranges":
		return 18
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "cache-control":
		return 24
	case "content-disposition":
		return 25
	case "content-encoding":
		return 26
	case "content-language":
		return 27
	case "content-length":
		return 28
	case "content-location":
		return 29
	case "content-range":
		return 30
	case "content-type":
		return 31
	case "date":
		return 33
	case "etag":
		return 34
	case "expires":
		return 36
	case "last-modified":
		return 44
	case "link":
		return 45
	case "location":
		return 46
	case "retry-after":
		return 53
	case "server":
		return 54
	case "set-cookie":
		return 55
	case "strict-transport-security":
		return 56
	case "vary":
		return 59
	case "via":
		return 60
	case "www-authenticate":
		return 61
	}
	return 0
}
