package route

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// seed makes hashes that nobody can foresee.
type seed struct{ start, factor uint64 }

func newSeed() seed {
	random := func(s string) uint64 { return maphash.String(maphash.MakeSeed(), s) }
	return seed{random("start"), random("factor") | 1}
}

// scan is the end of the segment that starts at at, its hash and its first eight bytes, the
// first lowest: eight bytes a step, because most segments have no more. Equal hashes cost a
// comparison and nothing else.
func (s seed) scan(path string, at int) (end int, hash, first uint64) {
	hash = s.start
	for start := at; at < len(path); at += 8 {
		var word uint64
		if at+8 <= len(path) {
			word = eight(path, at)
		} else {
			word = rest(path, at)
		}
		if slash := zeros(word^'/'*ones) & highs; slash != 0 {
			n := uint(bits.TrailingZeros64(slash)) &^ 7
			word &= 1<<(n&63) - 1
			if at == start {
				first = word
			}
			if n > 0 {
				hash = s.mix(hash, word)
			}
			return at + int(n/8), hash, first
		}
		if at == start {
			first = word
		}
		hash = s.mix(hash, word)
	}
	return len(path), hash, first
}

const (
	ones  = 0x0101010101010101
	highs = ones << 7
)

// zeros has the high bit of a byte set where word has a zero byte. The lowest that is set
// is true, those above it may be wrong.
func zeros(word uint64) uint64 { return (word - ones) &^ word }

func (s seed) mix(hash, word uint64) uint64 {
	high, low := bits.Mul64(hash^word, s.factor)
	return high ^ low
}

// eight is the eight bytes from at, the first lowest.
func eight(s string, at int) uint64 {
	return binary.LittleEndian.Uint64([]byte(s[at : at+8])) // not copied: nothing changes it
}

// rest is the fewer than eight bytes from at on, the first lowest, zeros behind them.
func rest(s string, at int) (word uint64) {
	if len(s) >= 8 {
		return eight(s, len(s)-8) >> (uint(at+8-len(s)) * 8 & 63)
	}
	for i := len(s) - 1; i >= at; i-- {
		word = word<<8 | uint64(s[i])
	}
	return word
}
