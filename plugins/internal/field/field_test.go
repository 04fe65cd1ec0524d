package field

import (
	"regexp"
	"testing"
)

func TestName(t *testing.T) {
	token := regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]$")
	for c := range 256 {
		s := string([]byte{byte(c)})
		if got, want := IsToken(s), token.MatchString(s); got != want {
			t.Errorf("IsToken(%q): got %v", s, got)
		}
	}
	if lower, fault := Name("X-Fo_O"); lower != "x-fo_o" || fault != "" {
		t.Errorf("got %q, %s", lower, fault)
	}
	for _, s := range []string{"", "a b", "a:", "a\r\nb", "ſ", "\u212a"} {
		if _, fault := Name(s); fault == "" {
			t.Errorf("took %q", s)
		}
	}
	for _, s := range []string{"Host", "Transfer-Encoding", "content-length"} {
		if _, fault := Settable(s); fault == "" {
			t.Errorf("may set %q", s)
		}
	}
}

func TestValue(t *testing.T) {
	for s, want := range map[string]bool{"": true, "a\tb é": true, " a": false, "a\t": false, "a\r\nb": false, "\x00": false, "\x7f": false} {
		if got := Value(s) == ""; got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
