// Package identity is the smallest OpenID provider that a JWT policy can live on: a
// discovery document, one public key, and tokens signed with a key that is made at start
// and never leaves the process. It is for examples and benchmarks: it knows no users and
// gives a token only to the program that holds it.
//
// Start at [New].
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Provider serves its discovery document and key set, and signs tokens. Safe for
// concurrent use.
type Provider struct {
	http.Handler
	issuer string
	signer jose.Signer
}

// New makes a provider with a new P-256 key. issuer is the URL at which it will be served.
func New(issuer string) (*Provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the identity provider's key: %w", err)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: "1", Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make the identity provider's signer: %w", err)
	}
	mux := http.NewServeMux()
	// OpenID Connect Discovery 1.0, section 4.
	mux.Handle("GET /.well-known/openid-configuration", document(map[string]any{
		"issuer": issuer, "jwks_uri": issuer + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}))
	mux.Handle("GET /keys", document(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}}))
	return &Provider{Handler: mux, issuer: issuer, signer: signer}, nil
}

// Token signs a token for subject and audience that holds for ttl, with more claims beside.
func (p *Provider) Token(subject, audience string, ttl time.Duration, more map[string]any) (string, error) {
	now := time.Now()
	claims := map[string]any{
		"iss": p.issuer, "sub": subject, "aud": audience,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(ttl).Unix(),
	}
	maps.Copy(claims, more)
	token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token for %q: %w", subject, err)
	}
	return token, nil
}

func document(value any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // an error is the client's going away
	})
}
