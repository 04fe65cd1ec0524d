package fuel

import (
	"fmt"
	"unicode/utf8"
)

// reader reads the binary format. The first error sticks; reads after it give zeros.
type reader struct {
	b   []byte
	pos int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("offset %d: "+format, append([]any{r.pos}, args...)...)
	}
}

func (r *reader) done() bool { return r.err != nil || r.pos >= len(r.b) }

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= len(r.b) {
		r.fail("unexpected end")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b)-r.pos {
		r.fail("unexpected end")
		return nil
	}
	r.pos += n
	return r.b[r.pos-n : r.pos : r.pos]
}

func (r *reader) u32() uint32 {
	// One byte is by far the most frequent.
	if r.err == nil && r.pos < len(r.b) && r.b[r.pos] < 0x80 {
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			r.fail("u32 too large")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	return v
}

// signed skips a signed LEB128 of at most n bits; wazero checks the value.
func (r *reader) signed(bits int) {
	for n := (bits + 6) / 7; n > 0; n-- {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail("signed integer too long")
}

// count reads the length of a vector whose entries take at least size bytes each.
func (r *reader) count(what string, size, limit int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(len(r.b)-r.pos) {
		r.fail("%d %s do not fit in %d bytes", n, what, len(r.b)-r.pos)
		return 0
	}
	if int64(n) > int64(limit) {
		r.fail("%d %s, want at most %d", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.count("bytes of name", 1, len(r.b))
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.fail("name %q is not UTF-8", b)
	}
	return string(b)
}

func (r *reader) index(what string, limit int) int {
	i := r.u32()
	if r.err == nil && int64(i) >= int64(limit) {
		r.fail("%s index %d, want less than %d", what, i, limit)
		return 0
	}
	return int(i)
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte {
	return append(appendU32(b, uint32(len(s))), s...)
}

func appendSection(b []byte, id byte, content []byte) []byte {
	b = append(b, id)
	b = appendU32(b, uint32(len(content)))
	return append(b, content...)
}
