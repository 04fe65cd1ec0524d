package hpack

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
	lookBits          = 9 // codes up to here are found in one step
)

// huffman is the code as it is decoded.
var huffman = makeCode()

type code struct {
	// look is, for the next lookBits bits, the byte and the length of its code; length 0
	// when the code is longer.
	look [1 << lookBits]struct{ symbol, length uint8 }
	// offset is where the bytes of each length begin in symbols, less their first code;
	// end is the first code that is longer.
	offset, end [longest + 1]int
	symbols     [256]uint8
}

func makeCode() (c code) {
	next, n := 0, 0
	for length := shortest; length <= longest; length++ {
		next <<= 1
		c.offset[length] = n - next
		for symbol, l := range codeLength {
			if int(l) != length {
				continue
			}
			if length <= lookBits {
				shift := lookBits - length
				for i := range 1 << shift {
					c.look[next<<shift|i] = struct{ symbol, length uint8 }{uint8(symbol), uint8(length)}
				}
			}
			c.symbols[n] = uint8(symbol)
			n++
			next++
		}
		c.end[length] = next
	}
	return c
}

// appendHuffman appends what src decodes to. What is left at the end must be fewer than
// eight bits, all ones (RFC 7541 5.2).
func appendHuffman(dst, src []byte) ([]byte, error) {
	var bits uint64 // the lowest have bits are valid
	have := 0
	for {
		for have <= 56 && len(src) > 0 {
			bits, src = bits<<8|uint64(src[0]), src[1:]
			have += 8
		}
		next := uint32(bits << (64 - have) >> 32) // the next 32 bits, zeros behind the end
		e := huffman.look[next>>(32-lookBits)]
		symbol, length := e.symbol, int(e.length)
		if length == 0 {
			symbol, length = findLong(next)
		}
		if length == 0 || length > have {
			if have >= 8 || bits&(1<<have-1) != 1<<have-1 {
				return dst, ErrCompression
			}
			return dst, nil
		}
		dst = append(dst, symbol)
		have -= length
	}
}

// findLong finds a code that look does not have; length 0 for EOS, which may not occur
// (RFC 7541 5.2).
func findLong(next uint32) (symbol uint8, length int) {
	for length = lookBits + 1; length <= longest; length++ {
		if c := int(next >> (32 - length)); c < huffman.end[length] {
			return huffman.symbols[c+huffman.offset[length]], length
		}
	}
	return 0, 0
}
