package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
	"unsafe"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

type kind uint8

const (
	answer   kind = iota
	variants      // of the plain key: which request fields the answer varies on
	passing       // the last answer could not be stored
)

// entry is what one key holds. It is never changed once stored.
type entry struct {
	kind       kind
	key        [32]byte
	group      *Group
	generation uint64

	status   int
	fields   []exchange.Field
	body     []byte
	vary     []string // lower case, sorted
	aged     bool     // it came with an Age: from another cache
	etag     []byte
	modified time.Time
	born     time.Time // when its age was 0 (RFC 9111 4.2.3)
	expires  time.Time
	grace    time.Duration // past expires, while the upstream fails
}

func (g *Group) now() uint64 {
	if g == nil {
		return 0
	}
	return g.generation.Load()
}

func (e *entry) belongs(r *Request) bool { return e.group == r.Group && e.generation == r.Group.now() }

func (e *entry) cost() int64 {
	n := int(unsafe.Sizeof(*e)) + cap(e.body) + len(e.fields)*int(unsafe.Sizeof(exchange.Field{}))
	for _, f := range e.fields {
		n += len(f.Name) + len(f.Value)
	}
	for _, name := range e.vary {
		n += len(name) + 16
	}
	return int64(n)
}

// copyFields gives e its own copy of what is storable in h (RFC 9111 3.1), in one piece.
func (e *entry) copyFields(h *exchange.Header, got time.Time) {
	size := 0
	for name, value := range h.All() {
		size += len(name) + len(value)
	}
	arena := make([]byte, 0, size+len("date")+len(dateLayout))
	add := func(name, value []byte) exchange.Field {
		n := len(arena)
		arena = append(append(arena, name...), value...)
		return exchange.Field{Name: arena[n : n+len(name) : n+len(name)], Value: arena[n+len(name) : len(arena) : len(arena)]}
	}
	e.fields = make([]exchange.Field, 0, h.Len()+1)
	for name, value := range h.All() {
		switch string(name) {
		case "age":
			e.aged = true
			continue
		case "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
			"content-length", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization":
			continue
		}
		f := add(name, value)
		e.fields = append(e.fields, f)
		if string(name) == "etag" {
			e.etag = f.Value
		}
	}
	if !h.Has("date") { // RFC 9110 6.6.1: who caches an answer without one adds it
		e.fields = append(e.fields, add([]byte("date"), got.UTC().AppendFormat(nil, dateLayout)))
	}
}

// serve fills x.Response from e, or with 304 when the client has it. Nothing is copied
// but the age, which an answer fresh from the origin has not (RFC 9111 5.1).
func (e *entry) serve(x *exchange.Exchange, status Status, now time.Time) {
	resp := &x.Response
	resp.Status, resp.Length = e.status, int64(len(e.body))
	same := e.notModified(&x.Header)
	if same {
		resp.Status = 304
	}
	for i := range e.fields {
		if f := &e.fields[i]; !same || validates(f.Name) {
			resp.Header.AppendAlias(f.Name, f.Value)
		}
	}
	if !same && x.Method != "HEAD" {
		resp.Body = e.body
	}
	if status == Miss && !e.aged {
		return
	}
	var age [20]byte
	resp.Header.AddBytes("age", strconv.AppendInt(age[:0], int64(max(now.Sub(e.born), 0)/time.Second), 10))
}

// validates tells whether a field goes into a 304: representation metadata does not
// (RFC 9110 15.4.5).
func validates(name []byte) bool {
	switch string(name) {
	case "content-type", "content-encoding", "content-language", "last-modified", "accept-ranges":
		return false
	}
	return true
}

// standsIn tells whether e, which is no longer fresh, answers in the place of a call that
// ended so.
func (e *entry) standsIn(err error, status int, now time.Time) bool {
	failed := err != nil || status == 500 || status == 502 || status == 503 || status == 504
	return failed && now.Before(e.expires.Add(e.grace))
}

// variant is the key of the answer to a request with these fields. Without any it is the
// plain key.
func variant(key *[32]byte, vary []string, h *exchange.Header) [32]byte {
	if len(vary) == 0 {
		return *key
	}
	var space [1024]byte
	tuple := append(space[:0], key[:]...)
	for _, name := range vary {
		tuple = part(tuple, []byte(name))
		at, n := len(tuple), uint64(0)
		tuple = binary.LittleEndian.AppendUint64(tuple, 0)
		for value := range h.Values(name) {
			tuple, n = part(tuple, value), n+1
		}
		binary.LittleEndian.PutUint64(tuple[at:], n)
	}
	return sha256.Sum256(tuple)
}

// part appends b behind its length; with the count of values before them no two tuples
// share their bytes.
func part(tuple, b []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(tuple, uint64(len(b))), b...)
}
