package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/jwks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var bg = context.Background()

// provider is an identity provider with a clock of its own.
type provider struct {
	*httptest.Server
	sets  *jwks.Sets
	gets  atomic.Int64
	mu    sync.Mutex
	now   time.Time
	reply func(w http.ResponseWriter, r *http.Request)
}

func start(t *testing.T, keys ...jose.JSONWebKey) *provider {
	t.Helper()
	p := &provider{now: time.Unix(1_700_000_000, 0)}
	p.serve(keys...)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.gets.Add(1)
		p.mu.Lock()
		reply := p.reply
		p.mu.Unlock()
		reply(w, r)
	}))
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.StartTLS()
	t.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	p.sets = jwks.New(jwks.Options{Roots: roots, Logger: slog.New(slog.DiscardHandler), Timeout: 300 * time.Millisecond, Now: func() time.Time {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.now
	}})
	t.Cleanup(p.sets.Close)
	return p
}

func (p *provider) url() string { return p.URL + "/jwks.json" }

func (p *provider) after(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *provider) handle(f func(w http.ResponseWriter, r *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = f
}

func (p *provider) serve(keys ...jose.JSONWebKey) {
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	p.handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func (p *provider) down() {
	p.handle(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

var secrets = sync.OnceValue(func() map[string]crypto.Signer {
	out := map[string]crypto.Signer{}
	for name, bits := range map[string]int{"rsa": 2048, "rsa2": 2048} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		out[name] = k
	}
	for name, c := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		out[name] = k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	out["ed"] = ed
	return out
})

func public(name, kid, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: secrets()[name].Public(), KeyID: kid, Algorithm: alg}
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, extra ...any) []byte {
	t.Helper()
	o := &jose.SignerOptions{}
	for i := 0; i+1 < len(extra); i += 2 {
		o = o.WithHeader(jose.HeaderKey(extra[i].(string)), extra[i+1])
	}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	require.NoError(t, err)
	jws, err := s.Sign([]byte(`{"sub":"x"}`))
	require.NoError(t, err)
	text, err := jws.CompactSerialize()
	require.NoError(t, err)
	return []byte(text)
}

func forged(header string) []byte {
	e := base64.RawURLEncoding
	return []byte(e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(`{"sub":"x"}`)) + "." + e.EncodeToString([]byte("sig")))
}

func TestAlgorithms(t *testing.T) {
	p := start(t,
		public("rsa", "rsa", ""), public("rsa2", "pinned", "RS256"), public("p256", "p256", ""), public("p384", "p384", ""),
		public("p521", "p521", ""), public("ed", "ed", ""), public("p256", "confused", "RS256"),
		jose.JSONWebKey{Key: secrets()["p256"].Public(), KeyID: "enc", Use: "enc"})
	for _, c := range []struct {
		alg  jose.SignatureAlgorithm
		key  string
		kid  string
		want abi.Status
	}{
		{jose.RS256, "rsa", "rsa", abi.StatusOK}, {jose.RS384, "rsa", "rsa", abi.StatusOK}, {jose.RS512, "rsa", "rsa", abi.StatusOK},
		{jose.PS256, "rsa", "rsa", abi.StatusOK}, {jose.PS384, "rsa", "rsa", abi.StatusOK}, {jose.PS512, "rsa", "rsa", abi.StatusOK},
		{jose.ES256, "p256", "p256", abi.StatusOK}, {jose.ES384, "p384", "p384", abi.StatusOK}, {jose.ES512, "p521", "p521", abi.StatusOK},
		{jose.EdDSA, "ed", "ed", abi.StatusOK},
		{jose.RS256, "rsa2", "pinned", abi.StatusOK}, {jose.RS512, "rsa2", "pinned", abi.StatusInvalid}, // the key says RS256
		{jose.RS256, "rsa2", "rsa", abi.StatusInvalid},       // another key
		{jose.ES256, "p256", "confused", abi.StatusNotFound}, // alg and type of the key do not agree
		{jose.ES256, "p256", "enc", abi.StatusNotFound},
		{jose.RS256, "rsa", "", abi.StatusOK}, {jose.ES512, "p521", "", abi.StatusOK},
	} {
		got := p.sets.Verify(bg, p.url(), sign(t, c.alg, secrets()[c.key], c.kid))
		require.Equal(t, c.want, got, "%s by %s as %q", c.alg, c.key, c.kid)
	}
}

func TestHostileTokens(t *testing.T) {
	p := start(t, public("rsa", "rsa", ""), public("p256", "p256", ""))
	der, err := x509.MarshalPKIXPublicKey(secrets()["rsa"].Public())
	require.NoError(t, err)
	good := sign(t, jose.RS256, secrets()["rsa"], "rsa")
	tokens := map[string][]byte{
		"HS256 with the public key": sign(t, jose.HS256, der, "rsa"),
		"none":                      forged(`{"alg":"none","kid":"rsa"}`),
		"no alg":                    forged(`{"kid":"rsa"}`),
		"alg twice":                 forged(`{"alg":"RS256","alg":"none","kid":"rsa"}`),
		"alg a number":              forged(`{"alg":256,"kid":"rsa"}`),
		"lower case":                forged(`{"alg":"rs256","kid":"rsa"}`),
		"crit":                      sign(t, jose.RS256, secrets()["rsa"], "rsa", "crit", []string{"exp"}),
		"b64":                       forged(`{"alg":"RS256","kid":"rsa","b64":false}`),
		"zip":                       sign(t, jose.RS256, secrets()["rsa"], "rsa", "zip", "DEF"),
		"encrypted":                 []byte("e30.e30.e30.e30.e30"),
		"two parts":                 []byte("e30.e30"),
		"empty":                     nil,
		"no JSON":                   forged(`alg`),
		"text after the header":     forged(`{"alg":"RS256","kid":"rsa"}{}`),
		"too long":                  append([]byte(nil), append(good, make([]byte, 9000)...)...),
		"payload changed":           []byte(strings.Replace(string(good), ".", ".x", 1)),
		"line break":                append([]byte(nil), append(good, '\n')...),
		"own key":                   sign(t, jose.RS256, secrets()["rsa2"], "rsa", "jwk", public("rsa2", "rsa", "")),
	}
	for name, token := range tokens {
		require.Equal(t, abi.StatusInvalid, p.sets.Verify(bg, p.url(), token), name)
	}
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), good))
	require.EqualValues(t, 1, p.gets.Load())
}

func TestUnknownKeyIDStorm(t *testing.T) {
	p := start(t, public("rsa", "old", ""))
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), sign(t, jose.RS256, secrets()["rsa"], "old")))
	// At once: keys are rotated whenever they are, also just after the first fetch.
	unknown := sign(t, jose.RS256, secrets()["rsa2"], "new")
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			for range 20 {
				if s := p.sets.Verify(bg, p.url(), unknown); s != abi.StatusNotFound {
					t.Errorf("got %v, want not_found", s)
				}
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 2, p.gets.Load(), "the first fetch and one for a thousand unknown keys")
	p.serve(public("rsa2", "new", ""))
	require.Equal(t, abi.StatusNotFound, p.sets.Verify(bg, p.url(), unknown), "within the pause")
	p.after(31 * time.Second)
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), unknown), "rotated")
	require.Equal(t, abi.StatusNotFound, p.sets.Verify(bg, p.url(), sign(t, jose.RS256, secrets()["rsa"], "old")), "the old key is gone")
	require.EqualValues(t, 3, p.gets.Load())
}

func TestProviderDown(t *testing.T) {
	p := start(t, public("rsa", "k", ""))
	token := sign(t, jose.RS256, secrets()["rsa"], "k")
	p.down()
	require.Equal(t, abi.StatusUnavailable, p.sets.Verify(bg, p.url(), token), "the gateway starts with it down")
	asked := p.gets.Load()
	require.Equal(t, abi.StatusUnavailable, p.sets.Verify(bg, p.url(), token))
	require.Equal(t, asked, p.gets.Load(), "it is left alone for a while")
	p.serve(public("rsa", "k", ""))
	p.after(2 * time.Second)
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), token), "it is back")
	p.down()
	p.after(3 * time.Hour)
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), token), "stale on error")
	require.Equal(t, abi.StatusNotFound, p.sets.Verify(bg, p.url(), sign(t, jose.RS256, secrets()["rsa"], "other")))
}

func TestRenewal(t *testing.T) {
	p := start(t, public("rsa", "k", ""))
	token := sign(t, jose.RS256, secrets()["rsa"], "k")
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), token))
	p.serve(public("rsa2", "k2", ""))
	p.after(time.Hour)
	require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), token))
	p.after(2 * time.Hour)
	require.Equal(t, abi.StatusNotFound, p.sets.Verify(bg, p.url(), token), "a revoked key is not used after two hours")
}

func TestBadDocuments(t *testing.T) {
	token := sign(t, jose.RS256, secrets()["rsa"], "k")
	for name, reply := range map[string]func(w http.ResponseWriter, r *http.Request){
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[` + strings.Repeat(" ", 200_000) + `]}`))
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no keys": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"many keys": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[` + strings.Repeat("{},", 200) + `{}]}`))
		},
		"404":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"slow":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"keys":`))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.handle(reply)
			require.Equal(t, abi.StatusUnavailable, p.sets.Verify(bg, p.url(), token))
		})
	}
	t.Run("caller gives up", func(t *testing.T) {
		p := start(t)
		p.handle(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(bg, 10*time.Millisecond)
		defer cancel()
		require.Equal(t, abi.StatusTimeout, p.sets.Verify(ctx, p.url(), token))
	})
	t.Run("keys to pass over", func(t *testing.T) {
		p := start(t)
		good, err := json.Marshal(public("rsa", "k", ""))
		require.NoError(t, err)
		weak, err := rsa.GenerateKey(rand.Reader, 1024)
		require.NoError(t, err)
		small, err := json.Marshal(jose.JSONWebKey{Key: weak.Public(), KeyID: "k"})
		require.NoError(t, err)
		p.handle(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"keys":[{"kty":"new"},{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"k"},7,%s,%s]}`, small, good)
		})
		require.Equal(t, abi.StatusOK, p.sets.Verify(bg, p.url(), token))
		require.Equal(t, abi.StatusInvalid, p.sets.Verify(bg, p.url(), sign(t, jose.HS256, []byte("secretsecretsecretsecretsecretsecret"), "k")))
	})
}

func TestDiscovery(t *testing.T) {
	p := start(t)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("rsa", "k", "")}})
	require.NoError(t, err)
	p.handle(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL+"/tenant", p.URL+"/any/where")
		case "/liar/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL+"/tenant", p.URL+"/any/where")
		case "/plain/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL+"/plain", strings.Replace(p.URL, "https", "http", 1)+"/any/where")
		case "/any/where":
			_, _ = w.Write(set)
		default:
			w.WriteHeader(404)
		}
	})
	token := sign(t, jose.RS256, secrets()["rsa"], "k")
	for issuer, want := range map[string]abi.Status{
		"/tenant": abi.StatusOK, "/tenant/": abi.StatusOK, "/liar": abi.StatusUnavailable,
		"/plain": abi.StatusUnavailable, "/none": abi.StatusUnavailable,
	} {
		require.Equal(t, want, p.sets.Verify(bg, p.URL+issuer, token), issuer)
	}
	for _, bad := range []string{"", "ftp://x/jwks.json", "https://user:pw@x/jwks.json", "%", "/jwks.json"} {
		require.Equal(t, abi.StatusUnavailable, p.sets.Verify(bg, bad, token), bad)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	p := start(t, public("rsa", "k", ""))
	s := jwks.New(jwks.Options{Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	require.Equal(t, abi.StatusUnavailable, s.Verify(bg, p.url(), sign(t, jose.RS256, secrets()["rsa"], "k")))
}

func TestClose(t *testing.T) {
	p := start(t)
	p.handle(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	done := make(chan abi.Status)
	token := sign(t, jose.RS256, secrets()["rsa"], "k")
	go func() { done <- p.sets.Verify(bg, p.url(), token) }()
	require.Eventually(t, func() bool { return p.gets.Load() > 0 }, 5*time.Second, time.Millisecond)
	p.sets.Close()
	require.Equal(t, abi.StatusUnavailable, <-done)
	require.Equal(t, abi.StatusUnavailable, p.sets.Verify(bg, p.url(), token))
}

func FuzzToken(f *testing.F) {
	f.Add([]byte("e30.e30.e30"))
	f.Add(forged(`{"alg":"RS256","kid":"rsa"}`))
	s := jwks.New(jwks.Options{Logger: slog.New(slog.DiscardHandler)})
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, token []byte) {
		if got := s.Verify(bg, "no URL", token); got != abi.StatusInvalid && got != abi.StatusUnavailable {
			t.Fatalf("got %v", got)
		}
	})
}
