package jwks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxToken is the longest token; a longer one is refused before anything of it is read.
const maxToken = 8 << 10

// token is what a token says of itself.
type token struct {
	text      string
	algorithm jose.SignatureAlgorithm
	kid       string
	hasKID    bool
}

var errForm = errors.New("not a compact JWS")

// parse reads the header and refuses what is not to be processed: RFC 7515 4.1.11 (crit),
// RFC 7797 (b64), and what belongs to encrypted tokens (RFC 7516).
func parse(text []byte) (*token, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("token of %d bytes, want at most %d", len(text), maxToken)
	}
	// encoding/base64 passes over line breaks: two spellings of one token would be two
	// identities to caches.
	for _, c := range text {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_' || c == '.') {
			return nil, errForm
		}
	}
	if bytes.Count(text, []byte(".")) != 2 {
		return nil, errForm
	}
	head, _, _ := bytes.Cut(text, []byte("."))
	raw, err := base64.RawURLEncoding.Strict().AppendDecode(nil, head)
	if err != nil {
		return nil, errForm
	}
	t := &token{text: string(text)}
	d := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, errForm
	}
	seen := map[string]bool{}
	for d.More() {
		tok, err := d.Token()
		name, ok := tok.(string)
		var value any
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, errForm
		}
		if seen[name] { // two readers could take different ones
			return nil, fmt.Errorf("header %q stands twice", name)
		}
		seen[name] = true
		if err := t.header(name, value); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil || d.More() || t.algorithm == "" {
		return nil, errForm
	}
	return t, nil
}

func (t *token) header(name string, value any) error {
	text, isText := value.(string)
	switch name {
	case "crit", "b64", "zip", "enc":
		return fmt.Errorf("header %q is refused", name)
	case "alg":
		if !isText {
			return errForm
		}
		t.algorithm = jose.SignatureAlgorithm(text)
	case "kid":
		if !isText {
			return errForm
		}
		t.kid, t.hasKID = text, true
	}
	return nil
}
