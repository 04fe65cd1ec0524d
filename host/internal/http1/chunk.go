package http1

import (
	"io"
	"math"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

const (
	// maxChunkLine is the longest chunk header in bytes, maxChunkExt what all extensions of
	// a body may take: nobody uses them, so they must not carry a flood (RFC 9112 7.1.1).
	maxChunkLine = 1 << 10
	maxChunkExt  = 16 << 10
)

// nextChunk reads up to the data of the next chunk, or to the end of the body (io.EOF).
// Without wait it reads only what has been received, ErrIncomplete otherwise.
func (b *Body) nextChunk(wait bool) error {
	for {
		err := b.parseChunk()
		if err != ErrIncomplete || !wait {
			return err
		}
		// Parse again only when it can lead further: a byte at a time must not cost the
		// square of its number.
		for had := b.r.Buffered(); b.r.Buffered() < had+maxChunkLine; {
			before := b.r.Buffered()
			if err = b.r.Fill(); err == io.EOF {
				return io.ErrUnexpectedEOF
			} else if err != nil {
				return err
			}
			if mayEndLine(b.r.buf[b.r.r:b.r.w], before) {
				break
			}
		}
	}
}

// parseChunk takes the next step from what has been received.
func (b *Body) parseChunk() error {
	buf := b.r.buf[b.r.r:b.r.w]
	at := 0
	if b.inChunk {
		end, err := endOfSection(buf, 0)
		if err == nil && !end {
			err = errChunkEnd
		}
		if err != nil {
			return err
		}
		at = 2
	}
	// The verdict must not depend on how the bytes arrived: nothing behind the longest line counts.
	line := buf[at:min(len(buf), at+maxChunkLine)]
	size, n, err := parseChunkHeader(line)
	if err == ErrIncomplete && len(line) == maxChunkLine {
		err = errChunkExtLong
	}
	if err != nil {
		return err
	}
	if size > 0 {
		return b.startChunk(size, at+n, n)
	}
	end, err := b.parseTrailers(buf, at+n)
	if err != nil {
		return err
	}
	b.r.r += end
	return io.EOF
}

// startChunk enters a chunk whose header of n bytes ends at end.
func (b *Body) startChunk(size uint64, end, n int) error {
	if b.room >= 0 && size > uint64(b.room) {
		return exchange.ErrBodyTooLarge
	}
	if b.room >= 0 {
		b.room -= int64(size)
	}
	if b.overhead += max(0, n-len("0123456789abcdef\r\n")); b.overhead > maxChunkExt {
		return errChunkExtLong
	}
	b.r.r += end
	b.left, b.inChunk = int64(size), true
	return nil
}

// parseChunkHeader reads a chunk size, its extensions and CRLF: one to sixteen
// hexadecimal digits that fit an int64, and no blank anywhere outside quotes. RFC 9112
// 7.1.1 tolerates blanks around ";" and "="; receivers differ on them and nobody sends them.
func parseChunkHeader(b []byte) (size uint64, n int, err error) {
	i := 0
	for ; i < len(b); i++ {
		d := hexDigit(b[i])
		if d > 15 {
			break
		}
		if i == 16 {
			return 0, 0, errChunkSize
		}
		size = size<<4 | uint64(d)
	}
	if i == len(b) {
		return 0, 0, ErrIncomplete
	}
	if i == 0 || size > math.MaxInt64 {
		return 0, 0, errChunkSize
	}
	for i < len(b) && b[i] == ';' {
		if i, err = parseChunkExt(b, i+1); err != nil {
			return 0, 0, err
		}
	}
	end, err := endOfSection(b, i)
	if err == nil && !end {
		err = errChunkSize
	}
	return size, i + 2, err
}

// parseChunkExt reads token [ "=" ( token / quoted-string ) ] and gives its end.
func parseChunkExt(b []byte, i int) (int, error) {
	i, err := parseToken(b, i)
	if err != nil || b[i] != '=' {
		return i, err
	}
	if i++; i == len(b) {
		return 0, ErrIncomplete
	}
	if b[i] != '"' {
		return parseToken(b, i)
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return 0, errChunkExt
		case c == '\\':
			if i++; i < len(b) && (b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f) {
				return 0, errChunkExt
			}
		}
	}
	return 0, ErrIncomplete
}

// parseToken is the end of the token at i, which a further byte must follow.
func parseToken(b []byte, i int) (int, error) {
	start := i
	for i < len(b) && lower[b[i]] != 0 {
		i++
	}
	switch {
	case i == len(b):
		return 0, ErrIncomplete
	case i == start:
		return 0, errChunkExt
	}
	return i, nil
}

// parseTrailers reads the trailer section at buf[at:] and gives its end. A field that
// would mean something before the body, or that the gateway sets itself, is refused: an
// upstream may merge trailers into the header (CVE-2026-40898 and the like).
func (b *Body) parseTrailers(buf []byte, at int) (int, error) {
	b.trailer.Reset()
	end, err := b.appendTrailers(buf, at)
	if err == ErrIncomplete && len(buf)-at >= b.lim.Head || err == nil && end-at > b.lim.Head {
		err = errHeadTooLarge
	}
	return end, err
}

func (b *Body) appendTrailers(buf []byte, at int) (int, error) {
	for fields := 0; ; fields++ {
		end, err := endOfSection(buf, at)
		if err != nil {
			return 0, err
		}
		if end {
			return at + 2, nil
		}
		name, value, next, err := parseField(buf, at)
		switch {
		case err != nil:
			return 0, err
		case fields == b.lim.Fields:
			return 0, errFieldCount
		case classOf(name) != plain:
			return 0, errTrailer
		}
		b.trailer.AddBytes(alias(name), value)
		at = next
	}
}
