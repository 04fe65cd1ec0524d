package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/examples/quickstart/identity"
)

// A token must verify with nothing but what discovery leads to.
func TestTokenVerifiesByDiscovery(t *testing.T) {
	var provider *identity.Provider
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { provider.ServeHTTP(w, r) }))
	defer server.Close()
	provider, err := identity.New(server.URL)
	require.NoError(t, err)
	token, err := provider.Token("ann", "quickstart", time.Hour, map[string]any{"scope": "read"})
	require.NoError(t, err)

	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	get(t, server.URL+"/.well-known/openid-configuration", &discovery)
	require.Equal(t, server.URL, discovery.Issuer)
	var keys jose.JSONWebKeySet
	get(t, discovery.JWKSURI, &keys)
	require.Len(t, keys.Keys, 1)
	require.True(t, keys.Keys[0].IsPublic(), "the private key must not be served")

	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	var claims jwt.Claims
	var more struct {
		Scope string `json:"scope"`
	}
	require.NoError(t, parsed.Claims(keys, &claims, &more))
	require.NoError(t, claims.Validate(jwt.Expected{Issuer: server.URL, Subject: "ann", AnyAudience: jwt.Audience{"quickstart"}}))
	require.Equal(t, "read", more.Scope)
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
}
