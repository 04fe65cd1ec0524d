package hpack

// DefaultTableSize is the size of a dynamic table until somebody changes it (RFC 9113 6.5.2).
const DefaultTableSize = 4096

// entryOverhead is what an entry counts beside its bytes (RFC 7541 4.1).
const entryOverhead = 32

// table is a dynamic table (RFC 7541 2.3.2): a queue of entries whose bytes stand one
// after the other in text. The zero value holds nothing and takes nothing.
type table struct {
	max, size int
	entries   []entry // a ring; its length is a power of two
	text      []byte
	// inserted and evicted number the entries since the beginning: the newest is
	// inserted-1, those below evicted are gone.
	inserted, evicted uint32
}

type entry struct {
	at          int // in text
	name, value uint16
	checked     bool // what the owner of the decoder noted
}

func (t *table) len() int { return int(t.inserted - t.evicted) }

func (t *table) entry(number uint32) *entry { return &t.entries[number&uint32(len(t.entries)-1)] }

func (t *table) bytes(e *entry) (name, value []byte) {
	mid := e.at + int(e.name)
	end := mid + int(e.value)
	return t.text[e.at:mid:mid], t.text[mid:end:end]
}

// newest is the entry at that place, counted from 1 backwards; nil beyond the oldest.
func (t *table) newest(place int) *entry {
	if place > t.len() {
		return nil
	}
	return t.entry(t.inserted - uint32(place))
}

// resize sets the size and evicts what does not fit any more (RFC 7541 4.3).
func (t *table) resize(max int) {
	t.max = max
	t.shrink(max)
}

func (t *table) shrink(size int) {
	for t.size > size {
		e := t.entry(t.evicted)
		t.size -= int(e.name) + int(e.value) + entryOverhead
		t.evicted++
	}
	if t.inserted == t.evicted {
		t.text = t.text[:0]
	}
}

// insert adds a field (RFC 7541 4.4) and returns its entry, nil when it is larger than
// the table. name and value must not lie in the table.
func (t *table) insert(name, value []byte) *entry {
	size := len(name) + len(value) + entryOverhead
	if size > t.max {
		t.shrink(0)
		return nil
	}
	t.shrink(t.max - size)
	if t.len() == len(t.entries) {
		t.growEntries()
	}
	t.makeRoom(size - entryOverhead)
	e := t.entry(t.inserted)
	*e = entry{at: len(t.text), name: uint16(len(name)), value: uint16(len(value))}
	t.text = append(append(t.text, name...), value...)
	t.inserted++
	t.size += size
	return e
}

func (t *table) growEntries() {
	grown := make([]entry, max(8, 2*len(t.entries)))
	for n := t.evicted; n != t.inserted; n++ {
		grown[n&uint32(len(grown)-1)] = *t.entry(n)
	}
	t.entries = grown
}

// makeRoom makes sure that n bytes fit behind text: by moving the live ones to the front,
// which happens at most once for every t.max bytes, or into more memory.
func (t *table) makeRoom(n int) {
	if len(t.text)+n <= cap(t.text) {
		return
	}
	first := len(t.text)
	if t.len() > 0 {
		first = t.entry(t.evicted).at
	}
	live := t.text[first:]
	to := t.text[:0]
	if 2*(len(live)+n) > cap(t.text) {
		to = make([]byte, 0, max(256, min(4*(len(live)+n), 2*t.max)))
	}
	t.text = append(to, live...)
	for i := t.evicted; i != t.inserted; i++ {
		t.entry(i).at -= first
	}
}

// staticLen is the number of entries of the static table.
const staticLen = 61

// static is RFC 7541 appendix A; index 0 is no entry.
var static = [staticLen + 1]struct{ name, value []byte }{
	{},
	{[]byte(":authority"), nil},
	{[]byte(":method"), []byte("GET")},
	{[]byte(":method"), []byte("POST")},
	{[]byte(":path"), []byte("/")},
	{[]byte(":path"), []byte("/index.html")},
	{[]byte(":scheme"), []byte("http")},
	{[]byte(":scheme"), []byte("https")},
	{[]byte(":status"), []byte("200")},
	{[]byte(":status"), []byte("204")},
	{[]byte(":status"), []byte("206")},
	{[]byte(":status"), []byte("304")},
	{[]byte(":status"), []byte("400")},
	{[]byte(":status"), []byte("404")},
	{[]byte(":status"), []byte("500")},
	{[]byte("accept-charset"), nil},
	{[]byte("accept-encoding"), []byte("gzip, deflate")},
	{[]byte("accept-language"), nil},
	{[]byte("accept-ranges"), nil},
	{[]byte("accept"), nil},
	{[]byte("access-control-allow-origin"), nil},
	{[]byte("age"), nil},
	{[]byte("allow"), nil},
	{[]byte("authorization"), nil},
	{[]byte("cache-control"), nil},
	{[]byte("content-disposition"), nil},
	{[]byte("content-encoding"), nil},
	{[]byte("content-language"), nil},
	{[]byte("content-length"), nil},
	{[]byte("content-location"), nil},
	{[]byte("content-range"), nil},
	{[]byte("content-type"), nil},
	{[]byte("cookie"), nil},
	{[]byte("date"), nil},
	{[]byte("etag"), nil},
	{[]byte("expect"), nil},
	{[]byte("expires"), nil},
	{[]byte("from"), nil},
	{[]byte("host"), nil},
	{[]byte("if-match"), nil},
	{[]byte("if-modified-since"), nil},
	{[]byte("if-none-match"), nil},
	{[]byte("if-range"), nil},
	{[]byte("if-unmodified-since"), nil},
	{[]byte("last-modified"), nil},
	{[]byte("link"), nil},
	{[]byte("location"), nil},
	{[]byte("max-forwards"), nil},
	{[]byte("proxy-authenticate"), nil},
	{[]byte("proxy-authorization"), nil},
	{[]byte("range"), nil},
	{[]byte("referer"), nil},
	{[]byte("refresh"), nil},
	{[]byte("retry-after"), nil},
	{[]byte("server"), nil},
	{[]byte("set-cookie"), nil},
	{[]byte("strict-transport-security"), nil},
	{[]byte("transfer-encoding"), nil},
	{[]byte("user-agent"), nil},
	{[]byte("vary"), nil},
	{[]byte("via"), nil},
	{[]byte("www-authenticate"), nil},
}
