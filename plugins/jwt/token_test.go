package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzParseToken holds the parser against encoding/base64 and encoding/json: whatever it
// takes, they take, and read the same issuer.
func FuzzParseToken(f *testing.F) {
	f.Add(compact(rs256, good))
	f.Add(b64(rs256) + "." + b64(good) + ".A-_z")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		token, fault := parseToken(text)
		if fault != "" {
			return
		}
		segments := strings.Split(text, ".")
		if len(segments) != 3 {
			t.Fatalf("took %d segments", len(segments))
		}
		strict := base64.RawURLEncoding.Strict()
		var decoded [3][]byte
		for i, s := range segments {
			var err error
			if decoded[i], err = strict.DecodeString(s); err != nil || strict.EncodeToString(decoded[i]) != s {
				t.Fatalf("segment %d: %v", i, err)
			}
		}
		var header struct{ Alg string }
		var claims map[string]any
		if err := json.Unmarshal(decoded[0], &header); err != nil || strings.EqualFold(header.Alg, "none") || header.Alg == "" {
			t.Fatalf("header %s: %v", decoded[0], err)
		}
		if err := json.Unmarshal(decoded[1], &claims); err != nil {
			t.Fatalf("claims: %v", err)
		}
		iss := token.claims.Get("iss")
		if want, ok := claims["iss"].(string); ok && iss.Text != want {
			t.Fatalf("iss: got %q, want %q", iss.Text, want)
		}
	})
}

// Parsing is on the way of each new token.
func BenchmarkParseToken(b *testing.B) {
	text := compact(rs256, good)
	for b.Loop() {
		if _, fault := parseToken(text); fault != "" {
			b.Fatal(fault)
		}
	}
}
