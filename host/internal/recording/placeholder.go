package recording

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pair is a text that must not be written and what stands in its place, of the same length,
// so that parsing takes the same fuel.
type pair struct{ secret, placeholder []byte }

// separators stay in a placeholder: what splits a value splits its placeholder alike.
const separators = " ,;=&/.:"

// fill is a placeholder: the number tells values apart. One of digits is of digits, since it
// may stand in JSON as a number.
func fill(secret []byte, number int) []byte {
	if len(secret) > 0 && len(bytes.Trim(secret, "0123456789")) == 0 {
		digit := []byte{'1' + byte(number%9)}
		if len(bytes.Trim(secret, string(digit))) == 0 {
			digit[0] = '1' + byte((number+1)%9)
		}
		return bytes.Repeat(digit, len(secret))
	}
	pattern := strconv.FormatInt(int64(number), 36) + "redacted"
	out := bytes.Clone(secret)
	for i, c := range secret {
		if strings.IndexByte(separators, c) < 0 {
			out[i] = pattern[i%len(pattern)]
		}
	}
	return out
}

// tokenForm is a JWS or JWE in compact form (RFC 7515, 3.1), or what is left of one.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*`)

// keptClaims stay readable in a token: a policy decides by them, and they open nothing.
var keptClaims = []string{"alg", "typ", "cty", "enc", "iss", "aud", "exp", "nbf", "iat", "client_id", "scope", "scp", "token_use"}

// filler makes the placeholders of one value, with its tokens as tokens.
type filler struct {
	number int
	reveal func(claim string) bool
	claims []pair // that were replaced in tokens
}

func (f *filler) placeholder(secret []byte) []byte {
	out := fill(secret, f.number)
	for _, at := range tokenForm.FindAllIndex(secret, -1) {
		copy(out[at[0]:], f.token(secret[at[0]:at[1]]))
	}
	return out
}

// token keeps of a token what [keptClaims] names and what is to be revealed.
func (f *filler) token(token []byte) []byte {
	parts := bytes.Split(token, []byte("."))
	for i, part := range parts {
		parts[i] = fill(part, f.number)
		if len(part) > 0 {
			parts[i][len(part)-1] = 'A' // strict readers want the last bits zero
		}
		if i > 1 || len(parts) > 3 && i > 0 { // a signature; of a JWE only the header is no secret
			continue
		}
		text := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
		if n, err := base64.RawURLEncoding.Decode(text, part); err == nil && json.Valid(text[:n]) {
			parts[i] = base64.RawURLEncoding.AppendEncode(nil, f.object(text[:n]))
		}
	}
	return bytes.Join(parts, []byte("."))
}

// object replaces strings and digits of a JSON object but those of kept members.
func (f *filler) object(text []byte) []byte {
	out, depth, key := bytes.Clone(text), 0, ""
	kept := func() bool { return depth > 0 && (slices.Contains(keptClaims, key) || f.reveal(key)) }
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == '"':
			end := i + 1 + stringEnd(text[i+1:])
			name := text[i+1 : end]
			if next := bytes.TrimLeft(text[end+1:], " \t\r\n"); len(next) > 0 && next[0] == ':' {
				if depth == 1 {
					key = string(name)
				}
			} else if !kept() {
				replaced := fill(bytes.Repeat([]byte("x"), len(name)), f.number) // an escape must not be cut
				copy(out[i+1:], replaced)
				f.claims = append(f.claims, pair{name, replaced})
			}
			i = end
		case '0' <= c && c <= '9' && !kept():
			out[i] = '1'
		}
	}
	return out
}

// stringEnd is where a JSON string ends whose beginning was read: at its closing quote.
func stringEnd(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// variants are p and what it looks like encoded: each replaced by what its placeholder looks
// like encoded. Percent-encoding is for [view].
func (p pair) variants() []pair {
	out := []pair{p}
	add := func(secret, placeholder []byte) {
		if len(secret) == len(placeholder) && len(secret) > 0 {
			out = append(out, pair{secret, placeholder})
		}
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			add(base64Core(e, p.secret, before), base64Core(e, p.placeholder, before))
		}
	}
	digits, replaced := hex.AppendEncode(nil, p.secret), hex.AppendEncode(nil, p.placeholder)
	add(digits, replaced)
	add(bytes.ToUpper(digits), bytes.ToUpper(replaced))
	for _, html := range []bool{false, true} {
		if text := jsonText(string(p.secret), html); text != string(p.secret) {
			add([]byte(text), fill([]byte(strings.ReplaceAll(text, `\`, "x")), 0))
		}
	}
	return out
}

// base64Core is what of the encoding of text depends on it alone, with so many bytes before it.
func base64Core(e *base64.Encoding, text []byte, before int) []byte {
	all := e.AppendEncode(nil, append(make([]byte, before), text...))
	from := []int{0, 2, 3}[before]
	to := (before + len(text)) * 8 / 6
	if from >= to {
		return nil
	}
	return all[from:to]
}

// jsonText is a string as it stands in JSON, without its quotes.
func jsonText(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(s) != nil {
		return s // a string always has a JSON form
	}
	return strings.TrimSuffix(b.String(), "\n")[1 : b.Len()-2]
}
