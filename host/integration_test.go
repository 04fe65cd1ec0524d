package host_test

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const site = "https://api.execute-api.localhost"

// passing is an API all of whose requests go to base under the same path.
func passing(base string) string {
	return document(`x-wasmgate-api: {id: api}`, `/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(base+"/{proxy}")+`}}`)
}

func TestProxyRequest(t *testing.T) {
	u := serve(t, nil)
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		a := send(t, c, "POST", site+"/x/y?q=%2F", "body",
			"X-Many: 1", "X-Many: 2", "Cookie: a=b", "Content-Type: text/x", "Accept-Encoding: br", "User-Agent: me",
			"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil", "Forwarded: for=6.6.6.6", "X-Real-Ip: 6.6.6.6", "Trailer: X-No",
			"Proxy-Authorization: secret", "x_forwarded_for: 6.6.6.6", "X-Amzn-Requestid: forged")
		require.Equal(t, 200, a.StatusCode, a.body)
		s := u.last(t)
		assert.Equal(t, "POST /x/y?q=%2F body", s.method+" "+s.target+" "+s.body)
		assert.Equal(t, strings.TrimPrefix(u.URL, "http://"), s.host, "http_proxy names the upstream's host")
		trace := s.header.Get("X-Amzn-Trace-Id")
		assert.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`, trace)
		s.header.Del("X-Amzn-Trace-Id")
		assert.Equal(t, http.Header{"X-Many": {"1", "2"}, "Cookie": {"a=b"}, "Content-Type": {"text/x"}, "Accept-Encoding": {"br"},
			"User-Agent": {"me"}, "Content-Length": {"4"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"},
			"X-Forwarded-Port": {"443"}, "X-Forwarded-Host": {"api.execute-api.localhost"}}, s.header)
	})
}

func TestProxyResponse(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Many"] = []string{"1", "2"}
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.Header().Set("X-Amzn-Requestid", "the upstream's")
		w.Header().Set("Connection", "x-hop")
		w.Header().Set("X-Hop", "1")
		switch r.URL.Path {
		case "/moved":
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(302)
		case "/broken":
			http.Error(w, "its own words", http.StatusServiceUnavailable)
		case "/empty":
			w.WriteHeader(204)
		case "/old":
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(304)
		default:
			io.WriteString(w, "hello")
		}
	})
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range []struct {
			method, path string
			status       int
			body, length string
		}{
			{"GET", "/moved", 302, "", "0"}, {"GET", "/broken", 503, "its own words\n", "14"}, {"GET", "/empty", 204, "", ""},
			{"GET", "/old", 304, "", ""}, {"GET", "/hello", 200, "hello", "5"}, {"HEAD", "/hello", 200, "", "5"},
			{"OPTIONS", "/hello", 200, "hello", "5"}, {"DELETE", "/hello", 200, "hello", "5"},
		} {
			a := send(t, c, tt.method, site+tt.path, "")
			assert.Equal(t, tt.status, a.StatusCode, tt.path)
			assert.Equal(t, tt.body, a.body, tt.path)
			assert.Equal(t, tt.length, a.Header.Get("Content-Length"), "%s %s", tt.method, tt.path)
			assert.Equal(t, tt.method, u.last(t).method)
			assert.Equal(t, []string{"1", "2"}, a.Header["X-Many"])
			assert.Equal(t, []string{"a=1", "b=2"}, a.Header["Set-Cookie"])
			assert.Len(t, a.Header["X-Amzn-Requestid"], 1)
			assert.NotEqual(t, "the upstream's", a.Header.Get("X-Amzn-Requestid"))
			assert.Empty(t, a.Header.Get("X-Hop"))
		}
	})
}

func TestLargeBodies(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	const limit = 10 << 20 // Amazon's
	body := make([]byte, limit+1)
	rand.Read(body)
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, chunked := range []bool{false, true} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", bytes.NewReader(body[:limit]))
			require.NoError(t, err)
			if chunked {
				req.ContentLength = -1
			}
			a := do(t, c, req)
			require.Equal(t, 200, a.StatusCode)
			assert.True(t, string(body[:limit]) == a.body, "the body came back changed")
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Expect", "100-continue") // else the client may break off before it reads the answer
		before := u.count()
		isError(t, do(t, c, req), 413, "RequestTooLargeException", "Request Entity Too Large")
		assert.Equal(t, before, u.count())
	})
}

// Both directions stream: the upstream sees a piece before the client sends the next, and
// the client a piece before the upstream writes the next.
func TestStreaming(t *testing.T) {
	got, next := make(chan string), make(chan string)
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 64)
		for {
			n, err := r.Body.Read(buf)
			if n > 0 {
				got <- string(buf[:n])
			}
			if err != nil {
				break
			}
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		for event := range next {
			if event == "end" {
				return
			}
			io.WriteString(w, event)
			http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(u.Close)
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		pr, pw := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/events", pr)
		require.NoError(t, err)
		go func() { // ends when the upstream has all
			for _, piece := range []string{"one", "two", "three"} {
				pw.Write([]byte(piece))
				if seen := <-got; seen != piece {
					pw.CloseWithError(errors.New("upstream got " + seen))
				}
			}
			pw.Close()
		}()
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"), "the head comes before the first event")
		for _, event := range []string{"data: 1\n\n", "data: 22\n\n"} {
			next <- event
			buf := make([]byte, len(event))
			_, err := io.ReadFull(resp.Body, buf)
			require.NoError(t, err)
			assert.Equal(t, event, string(buf))
		}
		next <- "end"
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Empty(t, rest)
	})
}

func TestTrailers(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", io.NopCloser(strings.NewReader("data")))
		require.NoError(t, err)
		req.Trailer = http.Header{"X-Check": {"abc"}}
		req.Header.Set("TE", "trailers")
		a := do(t, c, req)
		assert.Equal(t, "body", a.body)
		assert.Equal(t, "abc", u.last(t).trailer.Get("X-Check"))
		assert.Equal(t, "42", a.Trailer.Get("X-Sum"))
	})
}

// A client that asks first is told to go on only when nothing before the upstream refuses.
func TestExpectContinue(t *testing.T) {
	u := serve(t, nil)
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
		`/open: {post: {`+proxy(u.URL)+`}}`,
		`/shut: {post: {x-wasmgate-policies: [{plugin: ip-rules, config: {deny: [127.0.0.1]}}], `+proxy(u.URL)+`}}`)})
	for path, want := range map[string]bool{"/open": true, "/shut": false} {
		told := false
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got100Continue: func() { told = true }}), "POST", site+path, strings.NewReader("data"))
		require.NoError(t, err)
		req.Header.Set("Expect", "100-continue")
		a := do(t, g.h1, req)
		assert.Equal(t, want, told, path)
		assert.Equal(t, want, a.StatusCode == 200, path)
	}
	assert.Equal(t, "data", u.last(t).body)
	assert.Equal(t, 1, u.count())
}

// closedAddress is where nobody listens.
func closedAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// garbage is an upstream that answers what is no HTTP.
func garbage(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { // ends with l
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, text)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return "http://" + l.Addr().String()
}

func TestUpstreamFailures(t *testing.T) {
	over := make(chan struct{})
	slow := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	})
	t.Cleanup(func() { close(over) })
	strange := unstarted(nil)
	strange.StartTLS()
	t.Cleanup(strange.Close)
	paths := []string{
		`/down: {get: {` + proxy("http://"+closedAddress(t)) + `}}`,
		`/slow: {get: {` + proxy(slow.URL, "timeoutInMillis: 100") + `}}`,
		`/stranger: {get: {` + proxy(strange.URL) + `}}`,
		`/trusting: {get: {` + proxy(strange.URL, "tlsConfig: {insecureSkipVerification: true}") + `}}`,
		`/plain: {get: {` + proxy(strings.Replace(slow.URL, "http:", "https:", 1)) + `}}`,
		`/garbage: {get: {` + proxy(garbage(t, "SSH-2.0-x\r\n")) + `}}`,
		`/short: {get: {` + proxy(garbage(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) + `}}`,
		`/split: {get: {` + proxy(garbage(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")) + `}}`,
		`/nobody: {get: {` + proxy("http://nobody.invalid") + `}}`,
	}
	g := start(t, files{
		"apis/rest.yaml": document(`x-wasmgate-api: {id: api}`, paths...),
		"apis/http.yaml": document(`x-wasmgate-api: {id: http, protocol: http}`, paths...),
	})
	const kind = "InternalServerErrorException"
	const offline, late, internal = "Network error communicating with endpoint", "Endpoint request timed out", "Internal server error"
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range []struct {
			path       string
			status     int
			rest, http string
		}{
			{"/down", 504, offline, "Service Unavailable"}, {"/nobody", 504, offline, "Service Unavailable"},
			{"/short", 504, offline, "Service Unavailable"},
			{"/slow", 504, late, "Service Unavailable"},
			{"/stranger", 502, internal, "Internal Server Error"}, {"/plain", 502, internal, "Internal Server Error"},
			{"/garbage", 502, internal, "Internal Server Error"}, {"/split", 502, internal, "Internal Server Error"},
		} {
			t.Run(tt.path, func(t *testing.T) {
				isError(t, get(t, c, site+tt.path), tt.status, kind, tt.rest)
				isError(t, get(t, c, "https://http.execute-api.localhost"+tt.path), tt.status, kind, tt.http)
			})
		}
		assert.Equal(t, "GET /", get(t, c, site+"/trusting").body)
	})
	assert.Contains(t, strings.Join(g.status().Warnings, "\n"), "certificate is not verified")
}

// An answer that breaks off must not look whole to the client.
func TestTruncatedAnswer(t *testing.T) {
	g := start(t, files{"apis/a.yaml": passing(garbage(t, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf"))})
	g.each(t, func(t *testing.T, c *http.Client) {
		resp, err := c.Get(site + "/x")
		if err == nil {
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
		}
		assert.Error(t, err)
	})
}

func TestUpstreamTLS(t *testing.T) {
	u := unstarted(nil)
	u.StartTLS()
	t.Cleanup(u.Close)
	ca := filepath.Join(t.TempDir(), "upstream-ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw}), 0o600))
	g := start(t, files{"apis/a.yaml": passing(u.URL), "wasmgate.yaml": "upstreams: {ca_file: " + ca + "}"})
	g.each(t, func(t *testing.T, c *http.Client) {
		assert.Equal(t, "GET /x", get(t, c, site+"/x").body)
	})
}

// Connections to an upstream are kept, and one that the upstream closed costs no request.
func TestUpstreamConnections(t *testing.T) {
	u := unstarted(nil)
	opened := make(chan struct{}, 100)
	u.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened <- struct{}{}
		}
	}
	u.Start()
	t.Cleanup(u.Close)
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	for range 5 {
		require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	}
	assert.Len(t, opened, 1)
	assert.Equal(t, 1.0, g.metric("wasmgate_upstream_connections"))
	u.CloseClientConnections()
	for range 3 {
		require.Equal(t, 200, get(t, g.h2, site+"/x").StatusCode)
	}
	assert.Len(t, opened, 2)
}

func TestDefaultTimeout(t *testing.T) {
	over := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) })
	g := start(t, files{"apis/a.yaml": passing(slow.URL), "wasmgate.yaml": "upstreams: {timeout: 100ms}"})
	began := time.Now()
	isError(t, get(t, g.h1, site+"/x"), 504, "InternalServerErrorException", "Endpoint request timed out")
	assert.Less(t, time.Since(began), 10*time.Second)
}
