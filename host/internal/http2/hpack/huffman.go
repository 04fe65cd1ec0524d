package hpack

import (
	"encoding/binary"
	"slices"
)

// codeLength is the number of bits of each byte's Huffman code (RFC 7541 appendix B). The
// code is canonical, so that the lengths say it all: shorter codes come first, and those
// of one length in the order of their bytes.
var codeLength = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	shortest, longest = 5, 30
	lookBits          = 12 // two of the commonest bytes are found in one step
)

// huffman is the code as it is decoded.
var huffman = makeCode()

type code struct {
	// look is what the next lookBits bits begin with.
	look [1 << lookBits]step
	// offset is where the bytes of each length begin in symbols, less their first code;
	// end is the first code that is longer.
	offset, end [longest + 1]int
	symbols     [256]uint8
}

// step is one or two bytes; none when the code of the first is longer than lookBits.
type step struct{ first, second, count, bits uint8 }

func makeCode() (c code) {
	next, n := 0, 0
	for length := shortest; length <= longest; length++ {
		next <<= 1
		c.offset[length] = n - next
		for symbol, l := range codeLength {
			if int(l) != length {
				continue
			}
			c.symbols[n] = uint8(symbol)
			n++
			next++
		}
		c.end[length] = next
	}
	for i := range c.look {
		bits := uint32(i) << (32 - lookBits)
		first, length := c.find(bits)
		if length == 0 || length > lookBits {
			continue
		}
		c.look[i] = step{first: first, count: 1, bits: uint8(length)}
		if second, more := c.find(bits << length); more > 0 && length+more <= lookBits {
			c.look[i] = step{first, second, 2, uint8(length + more)}
		}
	}
	return c
}

// find is the byte whose code begins bits; length 0 for EOS, which may not occur
// (RFC 7541 5.2).
func (c *code) find(bits uint32) (symbol uint8, length int) {
	for length = shortest; length <= longest; length++ {
		if n := int(bits >> (32 - length)); n < c.end[length] {
			return c.symbols[n+c.offset[length]], length
		}
	}
	return 0, 0
}

// appendHuffman appends what src decodes to. What is left at the end must be fewer than
// eight bits, all ones (RFC 7541 5.2).
func appendHuffman(dst, src []byte) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, len(src)*8/shortest+2) // a step writes two bytes
	out, n := dst[start:cap(dst)], 0
	var bits uint64 // what comes next, from the highest bit on
	have := 0
	for ; len(src) >= 4; src = src[4:] {
		bits |= uint64(binary.BigEndian.Uint32(src)) << (32 - have)
		for have += 32; have >= 32; {
			s := huffman.look[bits>>(64-lookBits)]
			if s.count == 0 {
				symbol, length := huffman.find(uint32(bits >> 32))
				if length == 0 {
					return dst, ErrCompression
				}
				s = step{symbol, 0, 1, uint8(length)}
			}
			out[n], out[n+1] = s.first, s.second
			n += int(s.count)
			bits <<= s.bits
			have -= int(s.bits)
		}
	}
	for _, b := range src {
		bits |= uint64(b) << (56 - have)
		have += 8
	}
	for {
		symbol, length := huffman.find(uint32(bits >> 32))
		if length == 0 || length > have {
			break
		}
		out[n] = symbol
		n++
		bits <<= length
		have -= length
	}
	dst = dst[:start+n]
	if have >= 8 || bits>>(64-have) != 1<<have-1 {
		return dst, ErrCompression
	}
	return dst, nil
}
