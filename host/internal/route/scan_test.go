package route

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A segment has the same end and hash wherever it stands and whatever is around it, and
// no other hash than others here: a scan that left out bytes would pass all other tests.
func TestScan(t *testing.T) {
	s := newSeed()
	for length := range 40 {
		for _, fill := range []string{"a", "0", "\xaf", "\x80", "\xff", "."} {
			label := strings.Repeat(fill, length)
			_, want, wantStart := s.scan(label, 0)
			var eight [8]byte
			copy(eight[:], label)
			require.Equal(t, binary.LittleEndian.Uint64(eight[:]), wantStart)
			for before := range 10 {
				for _, after := range []string{"", "/", "//", "/x", "/" + strings.Repeat("y", 20)} {
					path := strings.Repeat("/", before) + label + after
					end, got, start := s.scan(path, before)
					require.Equal(t, before+length, end, "%q from %d", path, before)
					require.Equal(t, want, got, "%q from %d", path, before)
					require.Equal(t, wantStart, start, "%q from %d", path, before)
				}
			}
			for i := range length {
				other := label[:i] + "z" + label[i+1:]
				_, hash, _ := s.scan(other, 0)
				require.NotEqual(t, want, hash, "%q and %q", label, other)
			}
		}
	}
	_, one, _ := newSeed().scan("a", 0)
	_, two, _ := newSeed().scan("a", 0)
	require.NotEqual(t, one, two, "nobody can foresee a hash")
}

// Whatever stands anywhere in a path, quiet says that it is plain only if nothing is to be
// looked at, and says so of the paths that most requests have.
func TestQuiet(t *testing.T) {
	for length := 9; length < 30; length++ {
		for at := 1; at < length; at++ {
			for b := range 256 {
				for _, before := range []byte{'a', '/'} {
					text := []byte("/" + strings.Repeat("a", length-1))
					text[at-1], text[at], text[0] = before, byte(b), '/'
					path := string(text)
					watched := strings.Contains(path, "//") || strings.Contains(path, "/.") || class[b]&stop != 0 && b != '/'
					if watched || !strings.ContainsRune("!'{", rune(b)) { // of these it is not sure
						require.Equal(t, !watched, quiet(path), "%q", path)
					}
				}
			}
		}
	}
}
