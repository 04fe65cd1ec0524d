package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys    = 100
	minRSABits = 2048
	// maxUnnamed is how many keys a token without a key id is tried with.
	maxUnnamed = 8
)

// keys is a fetched set. It is never changed.
type keys struct {
	all     []key
	fetched time.Time
}

// key is one public key with the algorithms that it may verify.
type key struct {
	jose.JSONWebKey
	algorithms []jose.SignatureAlgorithm
}

// parseKeys reads a set. Keys that are not for signatures, of unknown kinds or too weak are
// passed over: providers publish them beside those that count (RFC 7517, section 5).
func parseKeys(body []byte) (*keys, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if doc.Keys == nil {
		return nil, errors.New("read key set: it has no member keys")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("read key set: %d keys, want at most %d", len(doc.Keys), maxKeys)
	}
	set := &keys{}
	for _, raw := range doc.Keys {
		var k key
		if k.UnmarshalJSON(raw) != nil || !k.IsPublic() || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if k.algorithms = allowed(&k.JSONWebKey); len(k.algorithms) > 0 {
			set.all = append(set.all, k)
		}
	}
	return set, nil
}

// allowed is what a key may verify: by its type, narrowed to its alg when it names one
// (RFC 8725, section 3.1: the algorithm is the key's).
func allowed(k *jose.JSONWebKey) []jose.SignatureAlgorithm {
	var list []jose.SignatureAlgorithm
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return nil
		}
		list = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			list = []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			list = []jose.SignatureAlgorithm{jose.ES384}
		case 521:
			list = []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		list = []jose.SignatureAlgorithm{jose.EdDSA}
	}
	if k.Algorithm == "" {
		return list
	}
	if a := jose.SignatureAlgorithm(k.Algorithm); slices.Contains(list, a) {
		return []jose.SignatureAlgorithm{a}
	}
	return nil
}

// find is the keys of that id; a token without one may be by any.
func (s *keys) find(kid string, named bool) []key {
	if !named {
		return s.all[:min(len(s.all), maxUnnamed)]
	}
	var out []key
	for _, k := range s.all {
		if k.KeyID == kid {
			out = append(out, k)
		}
	}
	return out
}

func (k *key) verifies(t *token) bool {
	if !slices.Contains(k.algorithms, t.algorithm) {
		return false
	}
	jws, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{t.algorithm})
	if err != nil {
		return false
	}
	_, err = jws.Verify(k.Key)
	return err == nil
}
