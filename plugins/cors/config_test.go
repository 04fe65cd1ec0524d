package main

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzAllows holds the patterns against net/url: an origin below https://*.example.com is
// an https URL of a host with that suffix and nothing else.
func FuzzAllows(f *testing.F) {
	p, err := decode(`{"allow_origins":["https://*.example.com"]}`)
	if err != nil {
		f.Fatal(err)
	}
	any, err := decode(`{"allow_origins":["https://*"]}`)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"https://a.example.com", "https://a.example.com:1", "https://u@x.example.com", "https://a/.example.com", "null"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		if !any.allows(origin) {
			if p.allows(origin) {
				t.Fatalf("%q: one domain of a scheme is more than all", origin)
			}
			return
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.Host != strings.TrimPrefix(origin, "https://") || u.User != nil || u.Path != "" {
			t.Fatalf("allowed %q, which is no origin: %v", origin, err)
		}
		if p.allows(origin) && (!strings.HasSuffix(u.Hostname(), ".example.com") || u.Port() != "") {
			t.Fatalf("allowed %q", origin)
		}
	})
}
