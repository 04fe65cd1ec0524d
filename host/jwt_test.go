package host_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// provider is an identity provider: a discovery document and its keys.
type provider struct {
	*upstream
	keys atomic.Pointer[jose.JSONWebKeySet]
	down atomic.Bool
}

func newProvider(t *testing.T, keys ...jose.JSONWebKey) *provider {
	p := &provider{}
	p.upstream = unstarted(func(w http.ResponseWriter, r *http.Request) {
		var answer any = p.keys.Load()
		if r.URL.Path == "/.well-known/openid-configuration" {
			answer = map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"}
		}
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(answer) // a host that went away
	})
	p.publish(keys...)
	t.Cleanup(func() { p.Close() })
	return p
}

func (p *provider) publish(keys ...jose.JSONWebKey) { p.keys.Store(&jose.JSONWebKeySet{Keys: keys}) }

func public(key crypto.Signer, kid string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"}
}

func elliptical(t *testing.T) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

type claims map[string]any

// good is claims that the issuer's APIs accept, with changes; a nil value removes.
func (p *provider) good(changes claims) claims {
	c := claims{"iss": p.URL, "aud": "shop", "sub": "alice", "scope": "orders:read", "tier": "gold", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs claims.
func token(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, c claims) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, new(jose.SignerOptions).WithHeader("kid", kid))
	require.NoError(t, err)
	data, err := json.Marshal(c)
	require.NoError(t, err)
	signed, err := s.Sign(data)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

// unsigned is a token with a header and a signature that nobody made.
func unsigned(t *testing.T, header string, c claims, signature string) string {
	data, err := json.Marshal(c)
	require.NoError(t, err)
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString(data) + "." + signature
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// guarded is an API whose routes want tokens of issuer.
func guarded(issuer, up string) files {
	const schemes = `x-wasmgate-api: {id: api, protocol: %s}
components:
  securitySchemes:
    id:
      type: oauth2
      x-amazon-apigateway-authorizer:
        type: jwt
        identitySource: $request.header.Authorization
        jwtConfiguration: {issuer: %q, audience: [shop, other]}
    byquery:
      type: oauth2
      x-amazon-apigateway-authorizer:
        type: jwt
        identitySource: $request.querystring.token
        jwtConfiguration: {issuer: %[2]q, audience: [shop]}`
	paths := []string{
		`/me: {get: {security: [{id: []}], x-wasmgate-policies: [{plugin: transform, config: {request: {headers: {set: {x-tier: "${context.claims.tier}", x-who: "${principal}"}}}}}], ` +
			proxy(up, `requestParameters: {integration.request.header.x-user: context.authorizer.claims.sub}`) + `}}`,
		`/orders: {get: {security: [{id: ["orders:read", "admin"]}], ` + proxy(up) + `}, post: {security: [{id: ["orders:write"]}], ` + proxy(up) + `}}`,
		`/query: {get: {security: [{byquery: []}], ` + proxy(up) + `}}`,
		`/open: {get: {` + proxy(up) + `}}`,
	}
	rest := document(fmt.Sprintf(schemes, "rest", issuer), paths...)
	return files{"apis/rest.yaml": rest,
		"apis/http.yaml": strings.Replace(rest, "{id: api, protocol: rest}", "{id: http, protocol: http}", 1)}
}

func TestTokens(t *testing.T) {
	key, forger := elliptical(t), elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.Start()
	u := serve(t, nil)
	g := start(t, guarded(p.URL, u.URL))
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	now := time.Now()
	signed := func(changes claims) string { return token(t, jose.ES256, key, "k1", p.good(changes)) }
	whole := signed(nil)
	bad := map[string][]string{
		"no token":        nil,
		"empty":           {"Authorization: "},
		"another scheme":  {"Authorization: Basic YTpi"},
		"no JWS":          {bearer("abc")},
		"two credentials": {bearer(whole), bearer(whole)},
		"wrong issuer":    {bearer(signed(claims{"iss": p.URL + "/"}))},
		"wrong audience":  {bearer(signed(claims{"aud": "elsewhere"}))},
		"no audience":     {bearer(signed(claims{"aud": nil}))},
		"expired":         {bearer(signed(claims{"exp": now.Add(-time.Minute).Unix()}))},
		"no expiry":       {bearer(signed(claims{"exp": nil}))},
		"not yet":         {bearer(signed(claims{"nbf": now.Add(time.Minute).Unix()}))},
		"alg none":        {bearer(unsigned(t, `{"alg":"none","kid":"k1"}`, p.good(nil), ""))},
		"no signature":    {bearer(unsigned(t, `{"alg":"ES256","kid":"k1"}`, p.good(nil), ""))},
		"HMAC by key":     {bearer(token(t, jose.HS256, publicPEM, "k1", p.good(nil)))},
		"HMAC by DER":     {bearer(token(t, jose.HS256, der, "k1", p.good(nil)))},
		"forged":          {bearer(token(t, jose.ES256, forger, "k1", p.good(nil)))},
		"unknown key":     {bearer(token(t, jose.ES256, forger, "k2", p.good(nil)))},
		"changed":         {bearer(strings.Replace(whole, ".", ".e30", 1))},
	}
	g.each(t, func(t *testing.T, c *http.Client) {
		before := u.count()
		for name, fields := range bad {
			t.Run(name, func(t *testing.T) {
				a := get(t, c, site+"/me", fields...)
				isError(t, a, 401, "UnauthorizedException", "Unauthorized")
				assert.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer")
				query := url.Values{}
				for _, f := range fields {
					query.Add("token", strings.TrimPrefix(strings.TrimPrefix(f, "Authorization: "), "Bearer "))
				}
				isError(t, get(t, c, site+"/query?"+query.Encode()), 401, "UnauthorizedException", "Unauthorized")
			})
		}
		assert.Equal(t, before, u.count(), "requests that reached the upstream")
		require.Equal(t, 200, get(t, c, site+"/me", bearer(whole)).StatusCode)
		h := u.last(t).header
		assert.Equal(t, "alice gold alice", h.Get("X-User")+" "+h.Get("X-Tier")+" "+h.Get("X-Who"))
		assert.Equal(t, 200, get(t, c, site+"/me", "Authorization: "+whole).StatusCode, "as Amazon takes it")
		assert.Equal(t, 200, get(t, c, site+"/query?token="+whole).StatusCode)
		assert.Equal(t, 200, get(t, c, site+"/open").StatusCode)
	})
	assert.LessOrEqual(t, p.count(), 4, "discovery and keys, and both once more for the unknown key")
}

func TestScopes(t *testing.T) {
	key := elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.Start()
	u := serve(t, nil)
	g := start(t, guarded(p.URL, u.URL))
	g.each(t, func(t *testing.T, c *http.Client) {
		reader := bearer(token(t, jose.ES256, key, "k1", p.good(nil)))
		both := bearer(token(t, jose.ES256, key, "k1", p.good(claims{"scope": nil, "scp": []string{"orders:write", "admin"}})))
		assert.Equal(t, 200, get(t, c, site+"/orders", reader).StatusCode)
		assert.Equal(t, 200, get(t, c, site+"/orders", both).StatusCode)
		assert.Equal(t, 200, send(t, c, "POST", site+"/orders", "", both).StatusCode)
		for range 2 { // asked, then kept
			a := send(t, c, "POST", site+"/orders", "", reader)
			isError(t, a, 403, "AccessDeniedException", "User is not authorized to access this resource")
			assert.Contains(t, a.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`)
		}
		isError(t, send(t, c, "POST", "https://http.execute-api.localhost/orders", "", reader), 403, "AccessDeniedException", "Forbidden")
	})
}

func TestAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ecKey := elliptical(t)
	pinned := public(rsaKey, "pinned")
	pinned.Algorithm = "RS256"
	p := newProvider(t, public(rsaKey, "rsa"), public(edKey, "ed"), public(ecKey, "ec"), pinned)
	p.Start()
	g := start(t, guarded(p.URL, serve(t, nil).URL))
	for _, tt := range []struct {
		alg    jose.SignatureAlgorithm
		key    crypto.Signer
		kid    string
		status int
	}{
		{jose.RS256, rsaKey, "rsa", 200}, {jose.PS256, rsaKey, "rsa", 200}, {jose.RS512, rsaKey, "rsa", 200},
		{jose.EdDSA, edKey, "ed", 200}, {jose.ES256, ecKey, "ec", 200},
		{jose.RS256, rsaKey, "pinned", 200}, {jose.PS256, rsaKey, "pinned", 401}, {jose.RS512, rsaKey, "pinned", 401},
		{jose.ES256, ecKey, "rsa", 401}, {jose.RS256, rsaKey, "ec", 401},
	} {
		a := get(t, g.h1, site+"/me", bearer(token(t, tt.alg, tt.key, tt.kid, p.good(nil))))
		assert.Equal(t, tt.status, a.StatusCode, "%s with key %q", tt.alg, tt.kid)
	}
}

// What was decided on a token is decided: neither plugin nor provider is asked again.
func TestVerdictsAreKept(t *testing.T) {
	key := elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.Start()
	g := start(t, guarded(p.URL, serve(t, nil).URL))
	alice := bearer(token(t, jose.ES256, key, "k1", p.good(nil)))
	bob := bearer(token(t, jose.ES256, key, "k1", p.good(claims{"sub": "bob"})))
	var clients sync.WaitGroup
	require.Equal(t, 200, get(t, g.h1, site+"/me", alice).StatusCode)
	calls := func() float64 {
		return g.metric("wasmgate_plugin_calls_total", `plugin="jwt"`, `hook="authorize"`)
	}
	require.Equal(t, 1.0, calls())
	for _, c := range []*http.Client{g.h1, g.h2} {
		clients.Go(func() {
			for range 50 {
				assert.Equal(t, 200, get(t, c, site+"/me", alice).StatusCode)
			}
		})
	}
	clients.Wait()
	assert.Equal(t, 1.0, calls())
	assert.Equal(t, 200, get(t, g.h1, site+"/me", bob).StatusCode)
	assert.Equal(t, 2.0, calls())
	assert.Equal(t, 2, p.count(), "discovery and keys")
	expired := bearer(token(t, jose.ES256, key, "k1", p.good(claims{"exp": time.Now().Add(1500 * time.Millisecond).Unix()})))
	require.Equal(t, 200, get(t, g.h1, site+"/me", expired).StatusCode)
	await(t, "a verdict that ends with its token", func() bool { return get(t, g.h1, site+"/me", expired).StatusCode == 401 })
}

func TestKeyRotation(t *testing.T) {
	first, second := elliptical(t), elliptical(t)
	p := newProvider(t, public(first, "k1"))
	p.Start()
	g := start(t, guarded(p.URL, serve(t, nil).URL))
	old := func(sub string) string {
		return bearer(token(t, jose.ES256, first, "k1", p.good(claims{"sub": sub})))
	}
	require.Equal(t, 200, get(t, g.h1, site+"/me", old("a")).StatusCode)
	p.publish(public(second, "k2"))
	fetched := p.count()
	fresh := bearer(token(t, jose.ES256, second, "k2", p.good(nil)))
	assert.Equal(t, 200, get(t, g.h2, site+"/me", fresh).StatusCode, "an unknown key is looked for once")
	assert.Equal(t, fetched+2, p.count())
	assert.Equal(t, 401, get(t, g.h1, site+"/me", old("b")).StatusCode, "the key is gone")
	for i := range 10 {
		assert.Equal(t, 401, get(t, g.h1, site+"/me", old(fmt.Sprint(i))).StatusCode)
	}
	assert.Equal(t, fetched+2, p.count(), "invented keys do not make the gateway attack its provider")
	p.down.Store(true)
	stale := bearer(token(t, jose.ES256, second, "k2", p.good(claims{"sub": "late"})))
	assert.Equal(t, 200, get(t, g.h1, site+"/me", stale).StatusCode, "the provider is down, its keys are known")
}

func TestProviderDownAtStart(t *testing.T) {
	key := elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.Start()
	p.down.Store(true)
	g := start(t, guarded(p.URL, serve(t, nil).URL))
	who := bearer(token(t, jose.ES256, key, "k1", p.good(nil)))
	isError(t, get(t, g.h1, site+"/me", who), 503, "ServiceUnavailableException", "Service Unavailable")
	assert.Equal(t, 200, get(t, g.h1, site+"/open").StatusCode)
	p.down.Store(false)
	await(t, "tokens to be good once the provider is up", func() bool { return get(t, g.h1, site+"/me", who).StatusCode == 200 })
}

func TestProviderTLS(t *testing.T) {
	key := elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.StartTLS()
	u := serve(t, nil)
	who := func() string { return bearer(token(t, jose.ES256, key, "k1", p.good(nil))) }
	g := start(t, guarded(p.URL, u.URL))
	assert.Equal(t, 503, get(t, g.h1, site+"/me", who()).StatusCode, "a provider that nobody vouches for")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600))
	content := guarded(p.URL, u.URL)
	content["wasmgate.yaml"] = "upstreams: {ca_file: " + ca + "}"
	g = start(t, content)
	assert.Equal(t, 200, get(t, g.h1, site+"/me", who()).StatusCode)
}
