package main

import (
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/json"
)

// maxToken bounds what is parsed at all (CVE-2025-30204: memory for invented tokens).
const maxToken = 8 << 10

// token is a compact JWS taken apart (RFC 7515, 7.1); nothing is verified yet.
type token struct{ claims json.Value }

// parseToken takes compact apart; fault says for the operator why it cannot.
func parseToken(compact string) (t token, fault string) {
	header, rest, _ := strings.Cut(compact, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return t, "want three segments"
	}
	if sig, ok := decodeBase64URL(signature); !ok || len(sig) == 0 {
		return t, "signature is not base64url"
	}
	h, fault := segment("header", header)
	if fault != "" {
		return t, fault
	}
	if fault := checkHeader(&h); fault != "" {
		return t, fault
	}
	t.claims, fault = segment("claims", payload)
	return t, fault
}

// segment is the JSON object in a segment. Names that stand twice are refused: two readers
// of the token could see two callers (RFC 8725, 2.4; RFC 7519, 4).
func segment(name, text string) (json.Value, string) {
	raw, ok := decodeBase64URL(text)
	if !ok {
		return json.Value{}, name + " is not base64url"
	}
	v, err := json.Parse(raw)
	switch {
	case err != nil:
		return v, name + ": " + err.Error()
	case v.Kind != json.Object:
		return v, name + " is no object"
	}
	return v, ""
}

// checkHeader refuses what can be refused before a key is looked at. The token's alg never
// chooses how it is verified (CVE-2026-39999): the host goes by the key's own algorithm.
func checkHeader(h *json.Value) string {
	alg := h.Get("alg")
	switch alg.Text {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA":
	default: // none in any spelling, and HMAC, whose key would be the public one (RFC 8725, 2.1)
		return "alg is none that is accepted"
	}
	if h.Find("crit") != nil { // RFC 7515, 4.1.11: not understood, so refused
		return "crit is not supported"
	}
	if h.Find("zip") != nil { // CVE-2024-28180
		return "zip is not supported"
	}
	if kid := h.Get("kid"); kid.Kind != 0 && kid.Kind != json.String {
		return "kid is no string"
	}
	return ""
}

// decodeBase64URL decodes strictly: no padding, no line ends, no bits left over, so that
// one token has one spelling (RFC 7515, 2; RFC 4648, 3.5).
func decodeBase64URL(s string) (string, bool) {
	out := make([]byte, 0, len(s)*3/4)
	var bits uint32
	n := 0
	for i := 0; i < len(s); i++ {
		v := alphabet[s[i]]
		if v < 0 {
			return "", false
		}
		bits = bits<<6 | uint32(v)
		if n += 6; n >= 8 {
			n -= 8
			out = append(out, byte(bits>>n))
		}
	}
	if len(s)%4 == 1 || bits&(1<<n-1) != 0 {
		return "", false
	}
	return string(out), true
}

// alphabet is the value of each byte in base64url, -1 for a byte that is not in it.
var alphabet = func() (values [256]int8) {
	for i := range values {
		values[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		values[c] = int8(i)
	}
	return values
}()

// carried is the credential in the value of a header: what follows the scheme Bearer, or
// the whole value when it has no scheme, as Amazon takes it. Another scheme carries none.
// Whatever is no base64url or dot, a Unicode blank say, later makes the token invalid.
func carried(value string) string {
	scheme, rest, found := strings.Cut(value, " ")
	if !found {
		return value
	}
	if len(scheme) != len("Bearer") || !equalFold(scheme, "bearer") {
		return ""
	}
	for len(rest) > 0 && rest[0] == ' ' { // 1*SP (RFC 9110, 11.4)
		rest = rest[1:]
	}
	return rest
}

// equalFold compares ASCII only: strings.EqualFold takes U+212A for k.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
