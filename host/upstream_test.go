package host_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The path and the query reach the upstream byte for byte, an empty query too.
func TestTargetReachesTheUpstream(t *testing.T) {
	up := record(t)
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	targets := []string{"/a", "/a?", "/a??", "/a?&", "/a?=", "/a?b", "/a?b=", "/a?b=c&b=d&&", "/a?%", "/a?%zz", "/a?+%20%2B", "/a?b=c?d=/e", "/a%2Fb?x",
		"/a;b=c?", "/a?b;c", "/A%c3%a4?%C3%A4", "/a//b?"}
	for _, target := range targets {
		c := g.dialTLS(t)
		_, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: api.execute-api.localhost\r\n\r\n")
		require.NoError(t, err)
		resp, _, err := c.receive("GET")
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, target)
		c.Close()
		f := g.dialFramed(t)
		f.request(1, true, "GET", target)
		events, _ := f.events(1, false)
		require.Equal(t, []string{"200", "end"}, events, target)
		seen := up.take()
		require.Len(t, seen, 2, target)
		for i, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			line, _, _ := strings.Cut(seen[i], "\r\n")
			assert.Equal(t, "GET "+target+" HTTP/1.1", line, protocol)
		}
	}
}

// An empty query is the client's: a policy that sets or removes queries, and an integration
// with a query of its own, have the last word.
func TestEmptyQueryAndOthers(t *testing.T) {
	up := record(t)
	transform := func(query string) string {
		return `x-wasmgate-policies: [{plugin: transform, config: {request: {query: ` + query + `}}}], `
	}
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
		`/own: {get: {`+proxy(up.url+"/to?x=1")+`}}`,
		`/set: {get: {`+transform(`{set: {y: "2"}}`)+proxy(up.url+"/to")+`}}`,
		`/remove: {get: {`+transform(`{remove: [y]}`)+proxy(up.url+"/to")+`}}`)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for target, want := range map[string]string{"/own": "/to?x=1", "/own?": "/to?x=1", "/own?a": "/to?x=1&a", "/set?": "/to?y=2",
			"/remove": "/to", "/remove?": "/to?", "/remove?y=1": "/to"} {
			u, err := url.Parse(site + target) // keeps the question mark
			require.NoError(t, err)
			require.Equal(t, 200, do(t, c, (&http.Request{Method: "GET", URL: u}).WithContext(t.Context())).StatusCode)
			seen := up.take()
			require.Len(t, seen, 1)
			assert.True(t, strings.HasPrefix(seen[0], "GET "+want+" HTTP/1.1\r\n"), "%s: %.60q", target, seen[0])
		}
	})
}

// Line breaks and other control bytes that a client brings in by way of a policy split
// neither the request to the upstream nor the answer (CWE-113).
func TestPoliciesCannotSplit(t *testing.T) {
	up := record(t)
	policy := func(side string) string {
		return `x-wasmgate-policies: [{plugin: transform, config: {` + side + `: {headers: {set: {x-copy: "a${param.q}b"}}}}}], `
	}
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
		`/request: {get: {`+policy("request")+proxy(up.url)+`}}`,
		`/response: {get: {`+policy("response")+proxy(up.url)+`}}`,
		`/path: {get: {x-wasmgate-policies: [{plugin: transform, config: {request: {path: "/p${param.q}"}}}], `+proxy(up.url)+`}}`)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, q := range []string{"\r\nSet-Cookie: stolen=1", "\nX: y", "\r", "\x00", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", " HTTP/1.1\r\nHost: evil\r\n\r\nGET /admin", "\x7f"} {
			for _, path := range []string{"/request", "/response", "/path"} {
				a := get(t, c, site+path+"?q="+url.QueryEscape(q))
				what := fmt.Sprintf("%s %q", path, q)
				if path == "/path" { // where it is percent-encoded
					assert.Equal(t, 200, a.StatusCode, what)
				} else {
					assert.GreaterOrEqual(t, a.StatusCode, 400, what)
				}
				assert.Empty(t, a.Header["Set-Cookie"], what)
				assert.Empty(t, a.Header["X"], what)
				assert.Empty(t, a.Header["X-Copy"], what)
				seen := up.take()
				assert.LessOrEqual(t, len(seen), 1, what)
				for _, s := range seen {
					m := parseMessage(t, s)
					if path == "/path" {
						assert.Equal(t, "GET /p"+strings.ReplaceAll(url.QueryEscape(q), "+", "%20")+"?q="+url.QueryEscape(q)+" HTTP/1.1", m.line)
					}
					for _, f := range m.fields {
						assert.NotContains(t, f, "x-copy", what)
					}
				}
			}
		}
		for _, path := range []string{"/request", "/response"} { // what is harmless passes
			require.Equal(t, 200, get(t, c, site+path+"?q=%20x%09y").StatusCode)
		}
		require.Contains(t, up.take()[0], "x-copy: a x\tyb\r\n")
	})
	assert.Empty(t, up.broken)
}

// No upstream is asked to upgrade, and what follows such a request is parsed and routed as
// the next one whatever the upstream says (CVE-2026-2833).
func TestUpgradesAreNotPassedOn(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"} {
		up := play(t, func(a asked, c net.Conn) bool {
			said := upstreamCanary
			if a.target() == "/up" {
				said = answer
			}
			_, err := io.WriteString(c, said)
			return err == nil
		})
		g := start(t, files{"apis/a.yaml": passing(up.url)})
		for _, fields := range []string{"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
			"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n"} {
			up.take()
			c := g.dialTLS(t)
			_, err := io.WriteString(c, "GET /up HTTP/1.1\r\nHost: api.execute-api.localhost\r\n"+fields+"\r\nGET /canary HTTP/1.1\r\nHost: api.execute-api.localhost\r\n\r\n")
			require.NoError(t, err)
			resp, _, err := c.receive("GET")
			require.NoError(t, err)
			require.NotEqual(t, 101, resp.StatusCode)
			require.Empty(t, resp.Header["Upgrade"])
			_, body, err := c.receive("GET")
			require.NoError(t, err)
			require.Equal(t, "canary", body)
			seen := up.take()
			require.Len(t, seen, 2)
			require.NotContains(t, strings.ToLower(seen[0].request), "upgrade")
			require.NotContains(t, strings.ToLower(seen[0].request), "http2-settings")
			require.Equal(t, "/canary", seen[1].target())
			c.Close()
		}
	}
}

// An answer that stops midway ends with the time of its call: 504, and a connection that is
// not used again.
func TestSlowAnswers(t *testing.T) {
	answers := []string{"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP"}
	up := play(t, func(a asked, c net.Conn) bool {
		var n int
		if _, err := fmt.Sscanf(a.target(), "/slow/%d", &n); err != nil {
			_, err := io.WriteString(c, upstreamCanary)
			return err == nil
		}
		_, err := io.WriteString(c, answers[n])
		return err == nil
	})
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
		`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.url+"/{proxy}", "timeoutInMillis: 100")+`}}`)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for n, text := range answers {
			for _, body := range []string{"", "x", strings.Repeat("x", 50_000)} {
				up.take()
				began := time.Now()
				a := send(t, c, "POST", fmt.Sprint(site, "/slow/", n), body)
				isError(t, a, 504, "InternalServerErrorException", "Endpoint request timed out")
				require.Less(t, time.Since(began), 20*time.Second)
				require.Contains(t, g.log.String(), "timeout_total")
				require.Equal(t, "canary", get(t, c, site+"/canary").body)
				seen := up.take()
				require.Len(t, seen, 2, "%q", text)
				require.NotEqual(t, seen[0].connection, seen[1].connection, "%q", text)
			}
		}
	})
}

// Trailers pass both ways behind bodies of any size, in their order; what may not be one
// does not.
func TestTrailersBothWays(t *testing.T) {
	var got http.Header
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Other")
		n, _ := io.Copy(io.Discard, r.Body)
		io.CopyN(w, endless{}, n)
		got = r.Trailer.Clone()
		w.Header()["X-Sum"] = []string{"1", "2"}
		w.Header().Set("X-Other", fmt.Sprint(n))
	}))
	t.Cleanup(up.Close)
	g := start(t, files{"apis/a.yaml": passing(up.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, size := range []int64{1, 1000, 20_000, 1 << 20} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", io.LimitReader(endless{}, size))
			require.NoError(t, err)
			req.Trailer = http.Header{"X-Check": {"a", "b"}, "X-Size": {fmt.Sprint(size)}}
			a := do(t, c, req)
			require.Equal(t, 200, a.StatusCode)
			require.Len(t, a.body, int(size))
			require.Equal(t, http.Header{"X-Check": {"a", "b"}, "X-Size": {fmt.Sprint(size)}}, got)
			require.Equal(t, http.Header{"X-Sum": {"1", "2"}, "X-Other": {fmt.Sprint(size)}}, a.Trailer)
		}
	})
}
