package route

import (
	"hash/maphash"
	"math/bits"
)

// seed makes hashes that nobody can foresee.
type seed struct{ start, factor uint64 }

func newSeed() seed {
	random := func(s string) uint64 { return maphash.String(maphash.MakeSeed(), s) }
	return seed{random("start"), random("factor") | 1}
}

// scan is the end of the segment that starts at at, and its hash: eight bytes a step,
// because most segments have no more. Equal hashes cost a comparison and nothing else.
func (s seed) scan(path string, at int) (end int, hash uint64) {
	const low, high = 0x0101010101010101, 0x8080808080808080
	for hash = s.start; at < len(path); at += 8 {
		word := eight(path, at)
		other := word ^ '/'*low // zero where a slash is
		if slash := (other - low) &^ other & high; slash != 0 {
			n := bits.TrailingZeros64(slash) &^ 7
			if n > 0 {
				hash = s.mix(hash, word&(1<<n-1))
			}
			return at + n/8, hash
		}
		hash = s.mix(hash, word)
	}
	return len(path), hash
}

func (s seed) mix(hash, word uint64) uint64 {
	high, low := bits.Mul64(hash^word, s.factor)
	return high ^ low
}

// eight is the eight bytes from at, the first lowest, zeros behind the end.
func eight(s string, at int) uint64 {
	missing := 0
	if over := at + 8 - len(s); over > 0 {
		if len(s) < 8 {
			return few(s[at:])
		}
		missing, at = 8*over, at-over
	}
	b := s[at : at+8]
	return (uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56) >> (missing & 63)
}

func few(s string) (word uint64) {
	for i := range len(s) {
		word |= uint64(s[i]) << (8 * i)
	}
	return word
}
