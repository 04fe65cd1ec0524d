package template

import (
	"strings"
	"testing"
)

// FuzzParse: the parts of a template, written again, are the text they were read from.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a ${path} b", "$${path}", "${header.X-A}$", "${", "$$${path}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, fault := Parse(text, Response)
		if fault != "" {
			return
		}
		again := ""
		for _, p := range parts {
			if p.Selector != "" {
				again += "${" + p.Selector + "}"
				continue
			}
			again += strings.ReplaceAll(p.Literal, "${", "$${")
		}
		if !strings.EqualFold(again, text) {
			t.Fatalf("%q is read as %q", text, again)
		}
	})
}
