package host_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goGuest compiles the plugin that is written with proxy-wasm's Go SDK.
var goGuest = sync.OnceValues(func() (string, error) { return buildGo("testdata/proxywasm/go") })

// buildGo compiles a plugin of another ABI that is written in Go, in a module of its own.
func buildGo(folder string) (string, error) {
	dir, err := os.MkdirTemp("", "wasmgate-go-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "go.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s", "-o", out, ".")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build plugin: %w: %s", err, text)
	}
	wasm, err := os.ReadFile(out)
	return string(wasm), err
}

func goPlugin(t testing.TB) string {
	t.Helper()
	wasm, err := goGuest()
	require.NoError(t, err)
	return wasm
}

// passingThrough is an API whose policies stand at its root; each path goes to base.
func passingThrough(base, policies string) string {
	return document("x-wasmgate-api: {id: api}\nx-wasmgate-policies: ["+policies+"]", `/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(base+"/{proxy}")+`}}`)
}

// bound serves one plugin on one API.
func bound(t *testing.T, u *upstream, policy string, more files) *gateway {
	t.Helper()
	content := files{"plugins/p.wasm": goPlugin(t), "apis/a.yaml": passingThrough(u.URL, "{plugin: p, "+policy+"}")}
	for name, text := range more {
		content[name] = text
	}
	return start(t, content)
}

func TestProxyWasmHeaders(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: headers", nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := get(t, c, site+"/a?q=%20", "X-Removed: r", "X-Kept: 1", "X-Kept: 2")
		require.Equal(t, 200, a.StatusCode, a.body)
		s := u.last(t)
		assert.Equal(t, "/a?q=%20", s.target)
		assert.Equal(t, "by the plugin", s.header.Get("X-Added"))
		assert.NotContains(t, s.header, "X-Removed")
		assert.Equal(t, []string{"1", "2"}, s.header["X-Kept"])
		assert.Equal(t, "200", a.Header.Get("X-Status"))

		a = send(t, c, "POST", site+"/moved/b", "body")
		require.Equal(t, 200, a.StatusCode, a.body)
		s = u.last(t)
		assert.Equal(t, "PATCH /elsewhere/b?x=%2F&y other.test body", s.method+" "+s.target+" "+s.host+" "+s.body)
	})
	await(t, "on_log", func() bool { return strings.Contains(g.log.String(), "stream is done") })
}

func TestProxyWasmBodies(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %s", r.ContentLength, body)
	})
	g := bound(t, u, "config: body, fuel: 500000000", nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := send(t, c, "POST", site+"/a", "some words")
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "12 <SOME WORDS> seen", a.body)
		assert.Equal(t, int64(20), a.ContentLength)
		a = get(t, c, site+"/a")
		assert.Equal(t, "0  seen", a.body)
		long := strings.Repeat("x", 1<<20)
		a = send(t, c, "POST", site+"/a", long)
		assert.True(t, a.body == "1048578 <"+strings.ToUpper(long)+"> seen", "%d: %d bytes, %.100q", a.StatusCode, len(a.body), a.body)
		a = send(t, c, "POST", site+"/a", strings.Repeat("x", 8<<20+1024)) // so little more that the client has sent it when it is refused
		assert.Equal(t, 413, a.StatusCode, "more than a plugin may hold back: nothing that is cut is passed on as whole")
		a = send(t, c, "HEAD", site+"/a", "")
		assert.Equal(t, 200, a.StatusCode)
	})
}

// A reply that comes while the client still sends goes out at once.
func TestProxyWasmRepliesEarly(t *testing.T) {
	u := serve(t, nil)
	auth := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
	g := bound(t, u, fmt.Sprintf("config: late, grants: {http: {auth: %q}}", auth.URL), nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		before := time.Now()
		body, more := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/a", body)
		require.NoError(t, err)
		go func() { _, _ = io.WriteString(more, "the first piece") }() // ends with the pipe
		resp, err := c.Do(req)                                         // nothing more is sent
		require.NoError(t, err)
		assert.Equal(t, 401, resp.StatusCode)
		resp.Body.Close()
		more.Close()
		assert.Less(t, time.Since(before), 20*time.Second, "before the client's body times out")
	})
}

// What a plugin held back goes on when it says so, and not when the client sends more.
func TestProxyWasmContinuesInTheMiddleOfABody(t *testing.T) {
	pieces := make(chan string, 10)
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for piece := make([]byte, 100); ; {
			n, err := r.Body.Read(piece)
			if n > 0 {
				pieces <- string(piece[:n])
			}
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(u.Close)
	auth := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "yes")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "3")
	})
	g := bound(t, &upstream{Server: u}, fmt.Sprintf("config: ask, grants: {http: {auth: %q}}", auth.URL), nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		body, more := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/a", body)
		require.NoError(t, err)
		go func() { // ends with the pipe
			io.WriteString(more, "one")
			assert.Equal(t, "one", <-pieces)
			io.WriteString(more, "two")
			assert.Equal(t, "two", <-pieces)
			more.Close()
		}()
		assert.Equal(t, 200, do(t, c, req).StatusCode)
	})
	assert.Contains(t, g.log.String(), "1 trailers: [[x-sum 3]]")
}

// A plugin that breaks while the client still sends ends the request at once.
func TestProxyWasmBreaksEarly(t *testing.T) {
	u := serve(t, nil)
	auth := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Break", "now") })
	g := bound(t, u, fmt.Sprintf("config: late, grants: {http: {auth: %q}}", auth.URL), nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		before := time.Now()
		body, more := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/a", body)
		require.NoError(t, err)
		go func() { _, _ = io.WriteString(more, "the first piece") }() // ends with the pipe
		resp, err := c.Do(req)
		require.NoError(t, err)
		assert.Equal(t, 500, resp.StatusCode)
		resp.Body.Close()
		more.Close()
		assert.Less(t, time.Since(before), 20*time.Second, "before the client's body times out")
	})
}

func TestProxyWasmTrailers(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "s")
	})
	g := bound(t, u, "config: headers", nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/a", io.MultiReader(strings.NewReader("body")))
		require.NoError(t, err)
		req.Header.Set("Te", "trailers")
		req.Trailer = http.Header{"X-Mine": {"m"}}
		a := do(t, c, req)
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "body", a.body)
		s := u.last(t)
		assert.Equal(t, "1 m", s.trailer.Get("X-Trailer-Added")+" "+s.trailer.Get("X-Mine"))
		assert.Equal(t, "2 s", a.Trailer.Get("X-Trailer-Added")+" "+a.Trailer.Get("X-Sum"))
	})
}

func TestProxyWasmStreams(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.ContentLength) })
	g := bound(t, u, "config: stream", nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := send(t, c, "POST", site+"/a", strings.Repeat("x", 9<<20))
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "9437184", a.body, "what the plugin does not touch keeps its length")
	})
}

func TestProxyWasmReplies(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: waf", files{
		"apis/mock.yaml": document(`x-wasmgate-api: {id: mocked}`, at("/a", "x-wasmgate-policies: [{plugin: p, config: waf}]", `x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}, responses: {default: {statusCode: "200"}}}`)),
	})
	g.each(t, func(t *testing.T, c *http.Client) {
		before := u.count()
		a := send(t, c, "POST", site+"/a", "an attack")
		assert.Equal(t, "403 blocked yes", fmt.Sprint(a.StatusCode, " ", a.body, " ", a.Header.Get("X-Passed")))
		assert.Equal(t, "text/plain", a.Header.Get("Content-Type"))
		assert.Equal(t, before, u.count(), "the upstream is not called")
		a = send(t, c, "POST", site+"/a", "no harm")
		assert.Equal(t, 200, a.StatusCode)
		assert.Equal(t, "no harm", u.last(t).body)
		a = send(t, c, "POST", "https://mocked.execute-api.localhost/a", "an attack", "Content-Type: application/json")
		assert.Equal(t, 403, a.StatusCode, "a body that no integration reads is shown all the same")
	})
}

func TestProxyWasmCalls(t *testing.T) {
	u := serve(t, nil)
	auth := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "auth.test" || r.URL.Query().Get("key") != "good" {
			w.WriteHeader(403)
			io.WriteString(w, "no such key")
			return
		}
		io.WriteString(w, "alice")
	})
	g := bound(t, u, fmt.Sprintf("config: auth, grants: {http: {auth: %q}}", auth.URL), nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := send(t, c, "POST", site+"/a", "body", "X-Key: good")
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "alice", u.last(t).header.Get("X-User"))
		assert.Equal(t, "yes", a.Header.Get("X-Passed"))
		a = send(t, c, "POST", site+"/a", "body", "X-Key: bad")
		assert.Equal(t, "401 refused: no such key Key yes", fmt.Sprint(a.StatusCode, " ", a.body, " ", a.Header.Get("Www-Authenticate"), " ", a.Header.Get("X-Passed")))
		var clients sync.WaitGroup
		for i := range 30 {
			clients.Go(func() { // waited for below
				key, want := "good", 200
				if i%3 == 0 {
					key, want = "bad", 401
				}
				if a := get(t, c, site+"/a", "X-Key: "+key); a.StatusCode != want {
					t.Errorf("status %d, want %d", a.StatusCode, want)
				}
			})
		}
		clients.Wait()
	})
	auth.Close()
	a := get(t, g.h1, site+"/a", "X-Key: good")
	assert.Equal(t, "401 refused: the upstream cannot be reached", fmt.Sprint(a.StatusCode, " ", a.body))
}

func TestProxyWasmCallsOnlyWhatIsGranted(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: auth", nil)
	a := get(t, g.h1, site+"/a")
	isError(t, a, 500, "InternalServerErrorException", "Internal server error") // its SDK panics
	assert.Zero(t, u.count())
}

func TestProxyWasmTraps(t *testing.T) {
	u := serve(t, nil)
	for onError, status := range map[string]int{"fail": 500, "deny": 403, "skip": 200} {
		t.Run(onError, func(t *testing.T) {
			g := bound(t, u, "config: panic, on_error: "+onError, nil)
			g.each(t, func(t *testing.T, c *http.Client) {
				for range 3 {
					a := send(t, c, "POST", site+"/a", "body", "X-Panic: me")
					assert.Equal(t, status, a.StatusCode, a.body)
					a = send(t, c, "POST", site+"/a", "body")
					assert.Equal(t, 200, a.StatusCode, "the next request is served by a new instance: %s", a.body)
					assert.Equal(t, "body", u.last(t).body)
				}
			})
			assert.Equal(t, 6.0, g.metric("wasmgate_plugin_traps_total", `plugin="p"`))
			assert.Contains(t, g.log.String(), "panic: asked for by me", "the guest's last words")
		})
	}
}

func TestProxyWasmSharedData(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: counter", nil)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { // waited for below
			for range 25 {
				get(t, g.h1, site+"/a")
			}
		})
	}
	clients.Wait()
	get(t, g.h2, site+"/a")
	assert.Equal(t, "101", u.last(t).header.Get("X-Count"), "over all instances, nothing is lost")
	// The same plugin with another config beside it starts anew, and resets nothing.
	g.update(files{"apis/b.yaml": document("x-wasmgate-api: {id: b}", at("/b", "x-wasmgate-policies: [{plugin: p, config: headers}]", proxy(u.URL)))})
	get(t, g.h1, site+"/a")
	assert.Equal(t, "102", u.last(t).header.Get("X-Count"), "a plugin that did not change keeps its data over a reload")
}

func TestProxyWasmBesideAllRequests(t *testing.T) {
	u := serve(t, nil)
	wasm := goPlugin(t)
	g := start(t, files{"plugins/receiver.wasm": wasm, "plugins/ticker.wasm": wasm, "plugins/sender.wasm": wasm,
		"apis/_gateway.yaml": "x-wasmgate-policies: [{plugin: receiver, config: receiver}, {plugin: ticker, config: ticker}]\n",
		"apis/a.yaml":        passingThrough(u.URL, "{plugin: sender, config: sender}")})
	for range 5 {
		a := get(t, g.h1, site+"/a")
		require.Equal(t, 200, a.StatusCode, a.body)
	}
	await(t, "five items", func() bool { return g.metric("wasmgate_custom_received_items_total", `plugin="receiver"`) == 5 })
	await(t, "ticks", func() bool { return g.metric("wasmgate_custom_ticks_total") > 3 })
	for _, p := range g.status().Policies {
		if p.Plugin == "receiver" {
			assert.Equal(t, "gateway", p.Bound)
		}
	}
	g.update(files{"apis/_gateway.yaml": "x-wasmgate-policies: [{plugin: receiver, config: receiver}]\n"})
	ticks := g.metric("wasmgate_custom_ticks_total")
	get(t, g.h1, site+"/a")
	await(t, "six items", func() bool { return g.metric("wasmgate_custom_received_items_total") == 6 })
	assert.LessOrEqual(t, g.metric("wasmgate_custom_ticks_total"), ticks+1, "a plugin that is gone ticks no more")
}

func TestProxyWasmWithoutAnyRoute(t *testing.T) {
	g := start(t, files{"plugins/ticker.wasm": goPlugin(t), "apis/_gateway.yaml": "x-wasmgate-policies: [{plugin: ticker, config: ticker}]\n"})
	await(t, "ticks", func() bool { return g.metric("wasmgate_custom_ticks_total") > 3 })
}

func TestProxyWasmDelays(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: delay", nil)
	g.each(t, func(t *testing.T, c *http.Client) {
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() { // waited for below
				if a := send(t, c, "POST", site+"/a", "body"); a.StatusCode != 200 {
					t.Errorf("status %d", a.StatusCode)
				}
			})
		}
		clients.Wait()
	})
}

func TestProxyWasmProperties(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: properties", nil)
	for protocol, c := range map[string]*http.Client{"HTTP/1.1": g.h1, "HTTP/2": g.h2} {
		a := get(t, c, site+"/a?b=c")
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, []string{"1", "2"}, a.Header["X-First"])
		assert.Regexp(t, `^request.path=/a\?b=c <nil>
request.protocol=`+protocol+` <nil>
connection.tls_version=TLSv1.3 <nil>
plugin_name=p <nil>
request.url_path=/a <nil>
request.query=b=c <nil>
source.address=127.0.0.1:\d+ <nil>
destination.address=127.0.0.1:\d+ <nil>
port=true
$`, a.body)
	}
}

// A firewall with its rules needs limits that only its operator can know.
func TestProxyWasmHeavy(t *testing.T) {
	u := serve(t, nil)
	const raised = "config: heavy, memory: 256MiB, fuel: 20000000000"
	g := bound(t, u, raised, nil)
	a := get(t, g.h1, site+"/a")
	require.Equal(t, 200, a.StatusCode, a.body)
	why := g.refused(files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: heavy, fuel: 20000000000}")})
	assert.Contains(t, why, "memory")
	why = g.refused(files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: heavy, memory: 256MiB}")})
	assert.Contains(t, why, "the call used up its fuel")
	assert.Equal(t, 200, get(t, g.h2, site+"/a").StatusCode, "the last good configuration serves on")
}

func TestProxyWasmHotLoad(t *testing.T) {
	u := serve(t, nil)
	g := bound(t, u, "config: headers", nil)
	why := g.refused(files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: refuse}")})
	assert.Contains(t, why, "the plugin refuses its config: proxy_on_configure returned false")
	assert.Equal(t, "200", get(t, g.h1, site+"/a").Header.Get("X-Status"))
	g.update(files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: waf}")})
	assert.Equal(t, "yes", get(t, g.h1, site+"/a").Header.Get("X-Passed"))
	why = g.refused(files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: waf, grants: {http: {a: 'ftp://x'}}}")})
	assert.Contains(t, why, "http://host:port")
}

// Requests, traps and reloads all at once: each request gets its own verdict, and none waits
// for ever.
func TestProxyWasmUnderLoad(t *testing.T) {
	u := serve(t, nil)
	policy := func(config string) files {
		return files{"apis/a.yaml": passingThrough(u.URL, "{plugin: p, config: "+config+"}")}
	}
	g := bound(t, u, "config: panic", nil)
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() { // waited for below
			c := g.h1
			if i%2 == 0 {
				c = g.h2
			}
			for n := range 40 {
				var fields []string
				if i == 0 && n%8 == 0 {
					fields = append(fields, "X-Panic: me")
				}
				a := send(t, c, "POST", site+"/a", "body", fields...)
				if a.StatusCode != 200 && a.StatusCode != 500 {
					t.Errorf("status %d: %s", a.StatusCode, a.body)
				}
			}
		})
	}
	for range 4 {
		g.update(policy("headers"))
		g.update(policy("panic"))
	}
	clients.Wait()
	a := get(t, g.h1, site+"/a")
	assert.Equal(t, 200, a.StatusCode, a.body)
}

// A plugin by the Rust SDK, which imports all there is and allocates by an export of its own.
func TestProxyWasmByRust(t *testing.T) {
	out := filepath.Join(t.TempDir(), "rust.wasm")
	text, err := exec.CommandContext(t.Context(), "sh", "testdata/proxywasm/rust/build.sh", out).CombinedOutput()
	require.NoError(t, err, "build plugin: %s", text)
	wasm, err := os.ReadFile(out)
	require.NoError(t, err)
	u := serve(t, nil)
	side := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.URL, body)
	})
	g := start(t, files{"plugins/p.wasm": string(wasm), "apis/a.yaml": passingThrough(u.URL, fmt.Sprintf("{plugin: p, config: wörld, grants: {http: {side: %q}}}", side.URL))})
	g.each(t, func(t *testing.T, c *http.Client) {
		a := get(t, c, site+"/a")
		require.Equal(t, 200, a.StatusCode, a.body)
		assert.Equal(t, "wörld", u.last(t).header.Get("X-Word"))
		assert.Equal(t, "200 POST upstream.test /said?by=rust question", a.Header.Get("X-Said"))
		a = get(t, c, site+"/hello")
		assert.Equal(t, "200 hello wörld yes", fmt.Sprint(a.StatusCode, " ", a.body, " ", a.Header.Get("X-Rust")))
		assert.Equal(t, "200 POST upstream.test /said?by=rust question", a.Header.Get("X-Said"), "its reply passes its own callbacks")
		assert.Equal(t, 500, get(t, c, site+"/panic").StatusCode)
		assert.Equal(t, 200, get(t, c, site+"/a").StatusCode)
	})
	await(t, "ticks", func() bool { return g.metric("wasmgate_custom_rust_ticks_total", `name="rust.ticks"`) > 3 })
}
