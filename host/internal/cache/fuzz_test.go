package cache

import (
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// What parses still forbids what a further directive forbids: nothing hides behind it.
func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"", "public", `a="b,c"`, "max-age=60, s-maxage=\"5\"", `x="\"`, "a b", ",,", "no-store=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var h exchange.Header
		h.Add("cache-control", value)
		before := directivesOf(&h)
		h.Set("cache-control", value+", no-store, max-age=7")
		after := directivesOf(&h)
		if !before.malformed && (after.malformed || !after.noStore || after.maxAge == absent) {
			t.Fatalf("%q: %+v, then %+v", value, before, after)
		}
		if before.noStore && !after.noStore && !after.malformed {
			t.Fatalf("%q lost its no-store", value)
		}
	})
}

// A tag is found behind every well-formed list, and no list panics.
func FuzzMatchesAny(f *testing.F) {
	for _, s := range []string{"", "*", `"a"`, `W/"a", "b"`, `"a`, "a", ",", `""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		tag := []byte(`W/"the tag"`)
		if matchesAny([]byte(list), []byte(`"a"`)) && !matchesAny([]byte(list), []byte(`W/"a"`)) {
			t.Fatalf("%q: the comparison is not weak", list)
		}
		if !matchesAny([]byte(`"x", `+string(tag)+","+list), tag) {
			t.Fatalf("%q hides a tag before it", list)
		}
	})
}
