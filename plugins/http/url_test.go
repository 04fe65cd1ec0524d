package main

import (
	"strings"
	"testing"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/json"
)

// FuzzReadURL: whatever uri is taken, no value of a request stands before the first slash
// of the path, where it would choose whom the gateway calls.
func FuzzReadURL(f *testing.F) {
	for _, seed := range []string{"https://up.example/{a}", "https://${stageVariables.h}/{p+}?x={y}", "${stageVariables.b}/{x}", "https://{a}/", "http:/{a}://{b}/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		c := config.Parse("integration", `{"uri":`+string(json.AppendString(nil, uri))+`}`)
		u := readURL(c, nil)
		if c.Err() != nil {
			return
		}
		before := ""
		for _, p := range u.parts {
			if p.Selector == "" {
				before += p.Literal
				continue
			}
			_, rest, ok := strings.Cut(before, "://")
			if !ok { // a stage variable, which is the operator's, says scheme and host
				rest = strings.TrimPrefix(before, "//")
			}
			if !strings.HasPrefix(p.Selector, "stage_variable.") && !strings.Contains(rest, "/") {
				t.Fatalf("%q: %s stands in the host", uri, p.Selector)
			}
		}
		if strings.HasPrefix(before, "http") && u.parts[0].Selector == "" && !strings.HasPrefix(before, "http://") && !strings.HasPrefix(before, "https://") {
			t.Fatalf("%q has no scheme", uri)
		}
	})
}
