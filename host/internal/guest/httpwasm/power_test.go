package httpwasm

import (
	"strings"
	"testing"
	"unicode"
)

// TestPowers: whoever reviews a plugin reads what each of its imports lets it do.
func TestPowers(t *testing.T) {
	for name, f := range ABI().Functions {
		verb, _, _ := strings.Cut(strings.TrimPrefix(f.Power, "nothing: "), " ")
		if verb == "" || !unicode.IsLower(rune(f.Power[0])) || f.Call == nil {
			t.Errorf("%s: power %q", name, f.Power)
		}
	}
}
