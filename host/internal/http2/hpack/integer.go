package hpack

import "errors"

// ErrCompression is every decoding error: the peer's table and ours no longer agree, and
// the connection is of no further use (RFC 9113 4.3).
var ErrCompression = errors.New("decode header block: malformed")

// readInt reads an integer whose first byte has that many bits for it (RFC 7541 5.1) and
// gives the bytes behind it. Nothing that it counts here comes near 2^28.
func readInt(b []byte, bits uint) (n int, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, ErrCompression
	}
	most := 1<<bits - 1
	if n = int(b[0]) & most; n < most {
		return n, b[1:], nil
	}
	for i, c := range b[1:] {
		if i == 4 {
			break
		}
		n += int(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, b[i+2:], nil
		}
	}
	return 0, nil, ErrCompression
}

// appendInt appends n in a first byte that has that many bits for it, the others being flags.
func appendInt(dst []byte, flags byte, bits uint, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(dst, flags|byte(n))
	}
	dst = append(dst, flags|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}
