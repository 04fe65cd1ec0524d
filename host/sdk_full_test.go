package host_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// service is what the example full talks to: it has the keys of tokens, knows which are
// active, and is the upstream.
type service struct {
	*upstream
	active sync.Map // the tenants of tokens
}

func newService(t *testing.T, keys jose.JSONWebKeySet) *service {
	s := &service{}
	s.upstream = unstarted(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": s.URL, "jwks_uri": s.URL + "/keys"})
		case "/keys":
			_ = json.NewEncoder(w).Encode(keys)
		case "/active":
			token, _ := io.ReadAll(r.Body)
			tenant, ok := s.active.Load(string(token))
			if !ok || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/jwt" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			fmt.Fprint(w, tenant)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "stack trace")
		default:
			fmt.Fprint(w, r.Method, " ", r.RequestURI)
		}
	})
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// trial is the example full in a running gateway, with its service behind it.
type trial struct {
	*gateway
	s                 *service
	active, withdrawn string // signed tokens
	clients           int
}

func newTrial(t *testing.T, wasm []byte) *trial {
	key := elliptical(t)
	r := &trial{s: newService(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public(key, "k")}})}
	r.active, r.withdrawn = token(t, jose.ES256, key, "k", claims{"sub": "anna"}), token(t, jose.ES256, key, "k", claims{"sub": "bert"})
	r.s.active.Store(r.active, "t1")
	r.gateway = start(t, files{
		"wasmgate.yaml": `listen: {https: "127.0.0.1:0", http: "", admin: "127.0.0.1:0", proxy_protocol: ["127.0.0.1"]}
secrets: {signing: s3cret, upstream: k3y}
`,
		"plugins/full.wasm": string(wasm),
		"apis/a.yaml":       r.api("x-api-key " + r.s.URL),
	})
	return r
}

// api has full as the only policy, and no integration: full has one.
func (r *trial) api(config string) string {
	return document(fmt.Sprintf(`x-wasmgate-api: {id: api}
x-wasmgate-keys: [{id: anna, value: %s}]
x-wasmgate-policies: [{plugin: full, config: %q, grants: {http: [%q], kv: [full/], secrets: [signing, upstream], jwks: [%[3]q]}}]`,
		annaKey, config, r.s.URL), "/{proxy+}: {x-amazon-apigateway-any-method: {}}")
}

// from lets a client come from an address from now on.
func (r *trial) from(c *http.Client, address string) {
	c.CloseIdleConnections()
	c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		conn, err := net.Dial("tcp", r.https)
		if err == nil {
			_, err = io.WriteString(conn, "PROXY TCP4 "+address+" 127.0.0.1 1234 443\r\n")
		}
		return conn, err
	}
}

// known sends a request with a good token and a good key.
func (r *trial) known(t *testing.T, c *http.Client, method, path, body string) answer {
	return send(t, c, method, site+path, body, bearer(r.active), "X-Api-Key: "+annaKey)
}

// fullThroughGateway sees every hook and every power of the example full at work, on real
// requests with a real service behind them.
func fullThroughGateway(t *testing.T, wasm []byte) {
	t.Helper()
	r := newTrial(t, wasm)
	r.each(t, func(t *testing.T, c *http.Client) {
		r.clients++
		t.Run("refused", func(t *testing.T) { r.refuses(t, c) })
		t.Run("mapped", func(t *testing.T) { r.maps(t, c) })
		t.Run("kept", func(t *testing.T) { r.keeps(t, c) })
	})
	await(t, "the log of every hook and power", func() bool {
		access := r.access.String()
		return strings.Contains(access, `"tenant":"t1"`) && strings.Contains(access, "token is not active") &&
			strings.Contains(r.log.String(), "token refused: invalid")
	})
	why := r.gateway.refused(files{"apis/a.yaml": r.api("X-Api-Key " + r.s.URL)})
	require.Contains(t, why, "want the name of a header, lower case, and a URL")
}

// refuses: guard, authorize (jwks, http, log), identify.
func (r *trial) refuses(t *testing.T, c *http.Client) {
	r.from(c, "192.0.2.7")
	assert.Equal(t, 403, r.known(t, c, "GET", "/x", "").StatusCode)
	r.from(c, fmt.Sprint("203.0.113.", r.clients))
	for _, wrong := range []string{"X-Token: " + r.active, "Authorization: " + r.active, bearer("a.b.c"), bearer(r.withdrawn)} {
		assert.Equal(t, 401, get(t, c, site+"/x", wrong, "X-Api-Key: "+annaKey).StatusCode, wrong)
	}
	assert.Equal(t, 403, get(t, c, site+"/x", bearer(r.active), "X-Api-Key: nobody-0123456789-0123456789").StatusCode)
}

// maps: map_request (hmac_sha256, kv get), integrate (secret), map_response (kv set, kv delete).
func (r *trial) maps(t *testing.T, c *http.Client) {
	assert.Equal(t, "POST /pets/1?v=2", r.known(t, c, "POST", "/pets/1?v=1", "rex").body)
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte("/pets/1"))
	seen := r.s.last(t)
	assert.Equal(t, "rex", seen.body)
	for name, want := range map[string]string{"X-Signature": fmt.Sprintf("%x", mac.Sum(nil)), "X-Upstream-Key": "k3y",
		"X-Principal": fmt.Sprintf("token:%x", sha256.Sum256([]byte(r.active)))[:14], "X-Last-Failure": "", "Authorization": ""} {
		assert.Equal(t, want, seen.header.Get(name), name)
	}
	assert.Equal(t, 413, r.known(t, c, "POST", "/pets/1", strings.Repeat("x", 1001)).StatusCode)
	broken := r.known(t, c, "POST", "/broken", "")
	assert.Equal(t, "503 text/plain out of order\n", fmt.Sprint(broken.StatusCode, " ", broken.Header.Get("Content-Type"), " ", broken.body))
	for _, told := range []string{"503", ""} { // and forgotten with the next good answer
		assert.Equal(t, 200, r.known(t, c, "POST", "/x", "").StatusCode)
		assert.Equal(t, told, r.s.last(t).header.Get("X-Last-Failure"))
	}
}

// keeps: cache_key, throttle.
func (r *trial) keeps(t *testing.T, c *http.Client) {
	path := fmt.Sprint("/cached/", r.clients)
	first, asked := r.known(t, c, "GET", path, ""), r.s.count()
	assert.Equal(t, first.body, r.known(t, c, "GET", path, "").body)
	assert.Equal(t, asked, r.s.count(), "the second comes from the cache")
	assert.Equal(t, "GET "+path+"?page=2&v=2", r.known(t, c, "GET", path+"?page=2", "").body)
	assert.Equal(t, asked+1, r.s.count(), "another page is another entry")
	refused := 0
	for range 60 { // of a bucket of 20 that gets one in ten seconds
		if r.known(t, c, "GET", "/limited", "").StatusCode == 429 {
			refused++
		}
	}
	assert.Positive(t, refused)
}
