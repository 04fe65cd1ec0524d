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

// fullThroughGateway sees every hook and every power of the example full at work, on real
// requests with a real service behind them.
func fullThroughGateway(t *testing.T, wasm []byte) {
	t.Helper()
	key := elliptical(t)
	s := newService(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public(key, "k")}})
	signed := func(sub string) string { return token(t, jose.ES256, key, "k", claims{"sub": sub}) }
	api := func(config string) string {
		return document(fmt.Sprintf(`x-wasmgate-api: {id: api}
x-wasmgate-keys: [{id: anna, value: %s}]
x-wasmgate-policies: [{plugin: full, config: %q, grants: {http: [%q], kv: [full/], secrets: [signing, upstream], jwks: [%q]}}]`,
			annaKey, config, s.URL, s.URL), "/{proxy+}: {x-amazon-apigateway-any-method: {}}")
	}
	g := start(t, files{
		"wasmgate.yaml": `listen: {https: "127.0.0.1:0", http: "", admin: "127.0.0.1:0", proxy_protocol: ["127.0.0.1"]}
secrets: {signing: s3cret, upstream: k3y}
`,
		"plugins/full.wasm": string(wasm),
		"apis/a.yaml":       api("x-api-key " + s.URL),
	})
	active, withdrawn := signed("anna"), signed("bert")
	s.active.Store(active, "t1")
	known := []string{bearer(active), "X-Api-Key: " + annaKey}
	from := func(c *http.Client, address string) { // from now on
		c.CloseIdleConnections()
		c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			conn, err := net.Dial("tcp", g.https)
			if err == nil {
				_, err = io.WriteString(conn, "PROXY TCP4 "+address+" 127.0.0.1 1234 443\r\n")
			}
			return conn, err
		}
	}
	clients := 0
	g.each(t, func(t *testing.T, c *http.Client) {
		clients++
		ask := func(t *testing.T, method, path, body string, fields ...string) answer {
			return send(t, c, method, site+path, body, fields...)
		}
		t.Run("guard", func(t *testing.T) {
			from(c, "192.0.2.7")
			assert.Equal(t, 403, ask(t, "GET", "/x", "", known...).StatusCode)
			from(c, fmt.Sprint("203.0.113.", clients))
		})
		t.Run("authorize", func(t *testing.T) {
			for _, wrong := range []string{"X-Token: " + active, "Authorization: " + active, bearer("a.b.c"), bearer(withdrawn)} {
				assert.Equal(t, 401, ask(t, "GET", "/x", "", wrong, known[1]).StatusCode, wrong)
			}
		})
		t.Run("identify", func(t *testing.T) {
			assert.Equal(t, 403, ask(t, "GET", "/x", "", bearer(active), "X-Api-Key: nobody's-0123456789-0123456789").StatusCode)
		})
		t.Run("map_request and integrate", func(t *testing.T) {
			got := ask(t, "POST", "/pets/1?v=1", "rex", known...)
			assert.Equal(t, "POST /pets/1?v=2", got.body)
			mac := hmac.New(sha256.New, []byte("s3cret"))
			mac.Write([]byte("/pets/1"))
			seen := s.last(t)
			assert.Equal(t, "rex", seen.body)
			for name, want := range map[string]string{"X-Signature": fmt.Sprintf("%x", mac.Sum(nil)), "X-Upstream-Key": "k3y",
				"X-Principal": fmt.Sprintf("token:%x", sha256.Sum256([]byte(active)))[:14], "X-Last-Failure": "", "Authorization": ""} {
				assert.Equal(t, want, seen.header.Get(name), name)
			}
			assert.Equal(t, 413, ask(t, "POST", "/pets/1", strings.Repeat("x", 1001), known...).StatusCode)
		})
		t.Run("map_response", func(t *testing.T) {
			got := ask(t, "POST", "/broken", "", known...)
			assert.Equal(t, "503 text/plain out of order\n", fmt.Sprint(got.StatusCode, " ", got.Header.Get("Content-Type"), " ", got.body))
			for _, told := range []string{"503", ""} { // and forgotten with the next good answer
				assert.Equal(t, 200, ask(t, "POST", "/x", "", known...).StatusCode)
				assert.Equal(t, told, s.last(t).header.Get("X-Last-Failure"))
			}
		})
		t.Run("cache_key", func(t *testing.T) {
			path := fmt.Sprint("/cached/", clients)
			first, asked := ask(t, "GET", path, "", known...), s.count()
			assert.Equal(t, first.body, ask(t, "GET", path, "", known...).body)
			assert.Equal(t, asked, s.count(), "the second comes from the cache")
			assert.Equal(t, "GET "+path+"?page=2&v=2", ask(t, "GET", path+"?page=2", "", known...).body)
			assert.Equal(t, asked+1, s.count(), "another page is another entry")
		})
		t.Run("throttle", func(t *testing.T) {
			refused := 0
			for range 60 { // of a bucket of 20 that gets one in ten seconds
				if ask(t, "GET", "/limited", "", known...).StatusCode == 429 {
					refused++
				}
			}
			assert.Positive(t, refused)
		})
	})
	await(t, "the log of every hook and power", func() bool {
		access := g.access.String()
		return strings.Contains(access, `"tenant":"t1"`) && strings.Contains(access, "token is not active") &&
			strings.Contains(g.log.String(), "token refused: invalid")
	})
	why := g.refused(files{"apis/a.yaml": api("X-Api-Key " + s.URL)})
	require.Contains(t, why, "want the name of a header, lower case, and a URL")
}
