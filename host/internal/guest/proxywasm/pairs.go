package proxywasm

import (
	"encoding/binary"
	"fmt"
)

// field is one header, trailer or pair. Names of headers are lower case.
type field struct{ name, value []byte }

// Limits of a serialized map that comes from a guest, those of proxy-wasm-cpp-host.
const (
	maxPairs      = 1024
	maxPairsBytes = 1 << 20
)

// sizeOfPairs is the serialized size of a map; an empty one is no bytes at all.
func sizeOfPairs(fields []field) int {
	if len(fields) == 0 {
		return 0
	}
	n := 4
	for _, f := range fields {
		n += 8 + len(f.name) + 1 + len(f.value) + 1
	}
	return n
}

// appendPairs serializes a map: the number of pairs, the two lengths of each, and then for
// each its name and value with a NUL after either.
func appendPairs(dst []byte, fields []field) []byte {
	if len(fields) == 0 {
		return dst
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(fields)))
	for _, f := range fields {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.name)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.value)))
	}
	for _, f := range fields {
		dst = append(append(dst, f.name...), 0)
		dst = append(append(dst, f.value...), 0)
	}
	return dst
}

// parsePairs reads a serialized map. What it returns is a copy: the guest's memory may
// change and move. A count that the bytes cannot hold is refused before anything is
// allocated for it.
func parsePairs(b []byte) ([]field, error) {
	if len(b) == 0 || len(b) == 1 && b[0] == 0 {
		return nil, nil
	}
	if len(b) > maxPairsBytes {
		return nil, fmt.Errorf("pairs of %d bytes, want at most %d", len(b), maxPairsBytes)
	}
	if len(b) < 4 {
		return nil, fmt.Errorf("pairs of %d bytes, want a count of 4", len(b))
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > maxPairs {
		return nil, fmt.Errorf("%d pairs, want at most %d", n, maxPairs)
	}
	if uint64(len(b)) < 4+8*n {
		return nil, fmt.Errorf("%d pairs in %d bytes, want at least %d", n, len(b), 4+8*n)
	}
	lengths := b[4 : 4+8*n]
	rest := append([]byte(nil), b[4+8*n:]...)
	fields := make([]field, 0, n)
	take := func(length uint32) ([]byte, bool) {
		if uint64(length)+1 > uint64(len(rest)) {
			return nil, false
		}
		v := rest[:length:length]
		rest = rest[length+1:]
		return v, true
	}
	for i := range n {
		name, ok := take(binary.LittleEndian.Uint32(lengths[8*i:]))
		value, all := []byte(nil), false
		if ok {
			value, all = take(binary.LittleEndian.Uint32(lengths[8*i+4:]))
		}
		if !all {
			return nil, fmt.Errorf("pair %d is longer than the %d bytes left", i, len(rest))
		}
		fields = append(fields, field{name, value})
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the last pair", len(rest))
	}
	return fields, nil
}
