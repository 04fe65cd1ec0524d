package pattern

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{`200`, "200", true}, {`200`, "2000", false}, {`200`, "1200", false},
		{`2\d{2}`, "204", true}, {`2\d{2}`, "304", false}, {`2\d\d|3\d\d`, "302", true},
		{`4..`, "404", true}, {`[45]\d+`, "503", true}, {`[^2]\d\d`, "200", false},
		{`(?:4|5)[0-9]{2}`, "499", true}, {`^5\d{2}$`, "500", true}, {`.*`, "201", true},
		{`(2(0(0)?)?)+`, "200", true}, {`(a*)*`, "200", false}, {`()*200`, "200", true}, {`\D`, "a", true},
		{``, "", true}, {``, "200", false}, {`2.{1,}`, "200", true}, {`2.*?`, "200", true},
	} {
		p, fault := Compile(c.pattern)
		if fault != "" {
			t.Errorf("%q: %s", c.pattern, fault)
		} else if got := p.Match(c.text); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.text, got)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{
		`(`, `)`, `(2`, `[`, `[]`, `[^]`, `[b-a]`, `[a-\d]`, `2{`, `2{3,1}`, `2{65}`, `2{,3}`, `*`, `2**`, `2++`, `2{2}{2}`,
		`(?=2)`, `(?i)a`, `\1`, `\b2`, `\`, `a^`, `$2`, `2$|3`, "\xff", "[\xff]", `[a&&b]`, `[[a]]`, strings.Repeat("(", 20), strings.Repeat("2", 257),
	} {
		if _, fault := Compile(text); fault == "" {
			t.Errorf("took %q", text)
		}
	}
}

// FuzzCompile holds what Compile takes against package regexp, on every status code.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`2\d{2}`, `[45]..`, `(?:a|2)*0+`, `[^4-5]\W?`, `^(20[0-4]|3\d\d)$`, `\.[.\-]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, fault := Compile(text)
		if fault != "" {
			return
		}
		// In Go $ and . know no \r; the texts here have none.
		want, err := regexp.Compile(`\A(?:` + strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$") + `)\z`)
		if err != nil {
			if strings.HasSuffix(text, `\$`) || strings.HasSuffix(text, `$`) {
				return // the suffix was no anchor
			}
			t.Fatalf("took what regexp refuses: %v", err)
		}
		if strings.HasSuffix(text, `\$`) {
			return
		}
		for _, s := range []string{"", "2", "20", "200", "204", "302", "404", "503", "599", "a", "abc", "2-0", "_", "[^]"} {
			if got := p.Match(s); got != want.MatchString(s) {
				t.Fatalf("%q on %q: got %v", text, s, got)
			}
		}
	})
}
