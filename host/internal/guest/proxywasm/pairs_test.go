package proxywasm

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

func pairsOf(texts ...string) []field {
	var fields []field
	for i := 0; i < len(texts); i += 2 {
		fields = append(fields, field{[]byte(texts[i]), []byte(texts[i+1])})
	}
	return fields
}

func TestPairsGoRound(t *testing.T) {
	for _, fields := range [][]field{
		nil,
		pairsOf("a", "1"),
		pairsOf(":method", "GET", "x", "", "", "y", "x", "a\x00b"),
	} {
		b := appendPairs(nil, fields)
		if len(b) != sizeOfPairs(fields) {
			t.Errorf("%q: %d bytes, want %d", fields, len(b), sizeOfPairs(fields))
		}
		got, err := parsePairs(b)
		if err != nil || !reflect.DeepEqual(got, fields) {
			t.Errorf("parse %q = %q, %v, want %q", b, got, err, fields)
		}
	}
	want := "\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00a\x00bc\x00"
	if got := appendPairs(nil, pairsOf("a", "bc")); string(got) != want {
		t.Errorf("encoded %q, want %q", got, want)
	}
}

func TestPairsRefused(t *testing.T) {
	count := func(n uint32, rest ...byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, n), rest...) }
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"too short", []byte{1, 2}, "pairs of 2 bytes, want a count of 4"},
		{"a bomb", count(0xffffffff), "4294967295 pairs, want at most 1024"},
		{"lengths missing", count(2, make([]byte, 8)...), "2 pairs in 12 bytes, want at least 20"},
		{"name too long", count(1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 'a', 0, 0), "pair 0 is longer than the 3 bytes left"},
		{"value too long", count(1, 1, 0, 0, 0, 9, 0, 0, 0, 'a', 0, 'b', 0), "pair 0 is longer than the 2 bytes left"},
		{"rest", append(appendPairs(nil, pairsOf("a", "b")), 7), "1 bytes after the last pair"},
		{"too long", make([]byte, maxPairsBytes+1), "pairs of 1048577 bytes, want at most 1048576"},
	} {
		if got, err := parsePairs(c.in); err == nil || err.Error() != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if got, err := parsePairs([]byte{0}); got != nil || err != nil {
		t.Errorf("one NUL: %q, %v, want an empty map", got, err)
	}
}

func FuzzPairs(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(appendPairs(nil, pairsOf("a", "1", "b", strings.Repeat("x", 300))))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := parsePairs(b)
		if err != nil {
			return
		}
		again, err := parsePairs(appendPairs(nil, fields))
		if err != nil || !reflect.DeepEqual(again, fields) {
			t.Fatalf("%q became %q, %v", fields, again, err)
		}
		total := 0
		for _, p := range fields {
			total += len(p.name) + len(p.value)
		}
		if total > len(b) || len(fields) > maxPairs {
			t.Fatalf("%d bytes in %d pairs of %d bytes", total, len(fields), len(b))
		}
		if len(fields) > 0 && bytes.Equal(b, nil) {
			t.Fatal("pairs of nothing")
		}
	})
}
