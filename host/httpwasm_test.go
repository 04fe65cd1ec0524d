package host_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/http-wasm/http-wasm-host-go/tck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// through is a document whose every path goes to an upstream through policies.
func through(upstream, policies string) files {
	return files{"apis/a.yaml": document("x-wasmgate-api: {id: api}\nx-wasmgate-policies: "+policies,
		`/: {x-amazon-apigateway-any-method: {`+proxy(upstream+"/")+`}, trace: {`+proxy(upstream+"/")+`}}`,
		`"/{proxy+}": {x-amazon-apigateway-any-method: {`+proxy(upstream+"/{proxy}")+`}}`)}
}

// kitCases counts the cases that a client sends, by their ids.
type kitCases struct {
	http.RoundTripper
	mu  sync.Mutex
	ids map[string]bool
}

func (a *kitCases) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.ids[r.Header.Get("x-httpwasm-tck-testid")] = true
	a.mu.Unlock()
	return a.RoundTripper.RoundTrip(r)
}

// The kit's guest and its cases, with the gateway and a network between the guest and the
// kit's backend.
func TestHTTPWasmConformance(t *testing.T) {
	u := serve(t, tck.BackendHandler().ServeHTTP)
	content := through(u.URL, "[{plugin: tck}]")
	content["plugins/tck.wasm"] = string(tck.GuestWASM)
	g := start(t, content)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := &kitCases{RoundTripper: c.Transport, ids: map[string]bool{}}
		client := *c
		client.Transport, client.Timeout = a, 0     // the kit closes no body, which a timer waits for
		passed := t.Run("tck", func(t *testing.T) { // waits for what is parallel in it
			t.Run("cases", func(t *testing.T) { tck.Run(t, &client, site) })
		})
		require.Len(t, a.ids, 35)
		if assert.True(t, passed) {
			t.Logf("http-wasm TCK over %s: 35 of 35", t.Name())
		}
	})
}

// kitGuest is a guest that the kit's module brings along.
func kitGuest(t testing.TB, name string) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/http-wasm/http-wasm-host-go").Output()
	require.NoError(t, err)
	wasm, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name+".wasm"))
	require.NoError(t, err)
	return string(wasm)
}

// handler serves one http-wasm plugin on one API.
func handler(t *testing.T, u *upstream, wasm, policy string) *gateway {
	t.Helper()
	content := through(u.URL, "[{plugin: p"+policy+"}]")
	content["plugins/p.wasm"] = wasm
	return start(t, content)
}

// Guests of other people, as they are.
func TestHTTPWasmExamples(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
		w.Header().Set("X-Sum", "1")
	})
	const e2e = "internal/test/testdata/e2e/"
	for name, test := range map[string]func(t *testing.T, g *gateway, c *http.Client){
		"examples/auth": func(t *testing.T, g *gateway, c *http.Client) {
			a := get(t, c, site+"/x")
			assert.Equal(t, 401, a.StatusCode)
			assert.Equal(t, `Basic realm="test"`, a.Header.Get("WWW-Authenticate"))
			assert.Equal(t, 401, get(t, c, site+"/x", "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==").StatusCode)
			assert.Equal(t, "GET /x ", get(t, c, site+"/x", "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").body)
		},
		"examples/log": func(t *testing.T, g *gateway, c *http.Client) {
			assert.Equal(t, "GET /x ", get(t, c, site+"/x").body)
			assert.Contains(t, g.log.String(), "hello world")
		},
		"examples/router": func(t *testing.T, g *gateway, c *http.Client) {
			a := get(t, c, site+"/x")
			assert.Equal(t, "hello world", a.body)
			assert.Equal(t, []string{"text/plain"}, a.Header["Content-Type"])
			assert.Equal(t, "GET /a%20b?q ", get(t, c, site+"/host/a%20b?q").body)
		},
		"examples/wasi": func(t *testing.T, g *gateway, c *http.Client) {
			assert.Equal(t, "POST /x text", send(t, c, "POST", site+"/x", "text", "X-Shown: in the log").body)
			assert.Contains(t, g.log.String(), "x-shown: in the log")
			assert.Contains(t, g.log.String(), "POST /x HTTP/")
			assert.Contains(t, g.log.String(), "content-type: text/plain")
		},
		e2e + "method": func(t *testing.T, g *gateway, c *http.Client) {
			assert.Equal(t, "POST /x GET", get(t, c, site+"/x").body)
		},
		e2e + "uri": func(t *testing.T, g *gateway, c *http.Client) {
			assert.Equal(t, "GET /v1.0/hello?name=teddy /v1.0/hi?name=panda", get(t, c, site+"/v1.0/hi?name=panda").body)
		},
		e2e + "header_names":    func(t *testing.T, g *gateway, c *http.Client) { assert.Equal(t, 200, get(t, c, site+"/x").StatusCode) },
		e2e + "header_value":    func(t *testing.T, g *gateway, c *http.Client) { assert.Equal(t, 200, get(t, c, site+"/x").StatusCode) },
		e2e + "handle_response": func(t *testing.T, g *gateway, c *http.Client) { assert.Equal(t, 200, get(t, c, site+"/x").StatusCode) },
		e2e + "protocol_version": func(t *testing.T, g *gateway, c *http.Client) {
			a := get(t, c, site+"/x")
			assert.Equal(t, a.Proto, a.body)
		},
		"internal/test/testdata/error/panic_on_handle_request": func(t *testing.T, g *gateway, c *http.Client) {
			before := u.count()
			isError(t, get(t, c, site+"/x"), 500, "InternalServerErrorException", "Internal server error")
			assert.Equal(t, before, u.count(), "the upstream was not called")
		},
		"internal/test/testdata/error/panic_on_handle_response": func(t *testing.T, g *gateway, c *http.Client) {
			isError(t, get(t, c, site+"/x"), 500, "InternalServerErrorException", "Internal server error")
		},
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			g := handler(t, u, kitGuest(t, name), "")
			g.each(t, func(t *testing.T, c *http.Client) { test(t, g, c) })
		})
	}
}

// A plugin that refuses its config, or ends at its start, is not served.
func TestHTTPWasmRefusesToStart(t *testing.T) {
	u := serve(t, nil)
	t.Run("redact", func(t *testing.T) {
		g := handler(t, u, kitGuest(t, "examples/redact"), ", config: \"open sesame, open sesame again\"")
		assert.Equal(t, "POST /x", send(t, g.h2, "POST", site+"/x", "text").body)
		assert.Equal(t, "text", u.last(t).body)
		// Without a config it refuses to start, and nothing changes.
		content := through(u.URL, "[{plugin: p}]")
		assert.Contains(t, g.refused(content), "wasm error: unreachable")
		assert.Equal(t, "POST /x", send(t, g.h1, "POST", site+"/x", "text").body)
	})
	t.Run("panic_on_start", func(t *testing.T) {
		g := start(t, through(u.URL, "[]"))
		content := through(u.URL, "[{plugin: p}]")
		content["plugins/p.wasm"] = kitGuest(t, "internal/test/testdata/error/panic_on_start")
		assert.Contains(t, g.refused(content), "wasm error: unreachable")
		assert.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	})
}

// Each exchange has an instance to itself, of which there are plugins.instances; sixteen times
// as many wait for one. Who is too many is told that the gateway is at its limit.
func TestHTTPWasmBusy(t *testing.T) {
	const waiting = 16
	release := make(chan struct{})
	u := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	content := through(u.URL, "[{plugin: p}]")
	content["plugins/p.wasm"] = string(NewHandler().Build(Go(0), nil))
	content["wasmgate.yaml"] = "plugins: {dir: plugins, instances: 1}"
	g := start(t, content)
	answers := make(chan answer, 1+waiting+1)
	for range cap(answers) {
		go func() { answers <- get(t, g.h2, site+"/x") }() // answers waits for it
	}
	isError(t, <-answers, 503, "ServiceUnavailableException", "Service Unavailable")
	close(release)
	for range 1 + waiting {
		assert.Equal(t, 200, (<-answers).StatusCode)
	}
	assert.Contains(t, g.log.String(), `plugin \"p\": busy: 16 calls wait for one of 1 instances`)
}

// A body that a guest read reaches the upstream whole, in however many pieces it came; one
// that the guest did not read streams.
func TestHTTPWasmBodies(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	h := NewHandler()
	part := Cat(h.Call("read_body", I32Const(0), I32Const(Room), I32Const(5000)), []byte{0xa7}, Drop)
	g := handler(t, u, string(h.Build(Cat(part, part, part, Go(0)), nil)), "")
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, size := range []int64{0, 1, 4999, 5000, 15000, 15001, 70_000, 3 << 20} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", &pattern{size: size})
			require.NoError(t, err)
			a := do(t, c, req)
			require.Equal(t, 200, a.StatusCode)
			require.EqualValues(t, size, len(a.body))
			require.NoError(t, check(strings.NewReader(a.body), 0, size))
		}
	})
}

// What the guest wrote goes out although the upstream's answer is empty, and says so.
func TestHTTPWasmAnswersBesideTheUpstream(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Upstream", "1")
		w.Header().Set("Content-Length", "0")
	})
	h := NewHandler()
	g := handler(t, u, string(h.Build(Cat(h.Call("write_body", I32Const(1), h.Text("guest's")), h.Call("set_header_value", I32Const(1), h.Text("X-Guest"), h.Text("1")), Go(0)), nil)), "")
	g.each(t, func(t *testing.T, c *http.Client) {
		a := get(t, c, site+"/x")
		assert.Equal(t, "guest's 7 1 1", fmt.Sprint(a.body, " ", a.ContentLength, " ", a.Header.Get("X-Guest"), " ", a.Header.Get("X-Upstream")))
		a = send(t, c, "HEAD", site+"/x", "")
		assert.Equal(t, "200 1 ", fmt.Sprint(a.StatusCode, " ", a.Header.Get("X-Guest"), " ", a.body))
	})
}

// An answer that the guest does not read streams through it.
func TestHTTPWasmStreams(t *testing.T) {
	more := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "second")
	})
	h := NewHandler()
	g := handler(t, u, string(h.Build(Cat(h.Call("enable_features", I32Const(3)), Drop, Go(0)), h.Call("set_header_value", I32Const(1), h.Text("x-guest"), h.Text("1")))), "")
	g.each(t, func(t *testing.T, c *http.Client) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", site+"/x", nil)
		require.NoError(t, err)
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, "1", resp.Header.Get("X-Guest"))
		first := make([]byte, 5)
		_, err = io.ReadFull(resp.Body, first)
		require.NoError(t, err, "the first piece comes before the last is made")
		more <- struct{}{}
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "first second", string(first)+" "+string(rest))
	})
}

// on_error decides what a failed guest costs.
func TestHTTPWasmOnError(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%s", body, r.Header.Get("X-Guest"))
	})
	h := NewHandler()
	early := h.Build(Cat(h.Call("set_header_value", I32Const(0), h.Text("x-guest"), h.Text("1")),
		h.Call("read_body", I32Const(0), I32Const(Room), I32Const(3)), Drop, Unreachable), nil)
	h = NewHandler()
	late := h.Build(Go(0), Unreachable)
	for name, wasm := range map[string][]byte{"request": early, "response": late} {
		for policy, status := range map[string]int{"": 500, ", on_error: fail": 500, ", on_error: deny": 403, ", on_error: skip": 200} {
			g := handler(t, u, string(wasm), policy)
			g.each(t, func(t *testing.T, c *http.Client) {
				a := send(t, c, "POST", site+"/x", "a longer body")
				require.Equal(t, status, a.StatusCode, "%s%s", name, policy)
				if status == 200 {
					assert.Equal(t, "a longer body", a.body, "what the guest did before it failed is undone")
				}
			})
			assert.Equal(t, 2.0, g.metric("wasmgate_plugin_traps_total", `plugin="p"`, `kind="trap"`))
			assert.Equal(t, 2.0, g.metric("wasmgate_plugin_failures_total", `plugin="p"`))
		}
	}
}

// Limits are the operator's, and hold for each call.
func TestHTTPWasmLimits(t *testing.T) {
	u := serve(t, nil)
	h := NewHandler()
	loop := string(h.Build(Cat(h.Call("get_method", h.Room()), I32Const(4), []byte{0x46}, If(Empty, Loop(Empty, Br(0))), Go(0)), nil))
	g := handler(t, u, loop, ", fuel: 1000000, memory: 2MiB")
	g.each(t, func(t *testing.T, c *http.Client) {
		began := time.Now()
		require.Equal(t, 500, send(t, c, "POST", site+"/x", "x").StatusCode)
		assert.Less(t, time.Since(began), 10*time.Second)
		assert.Equal(t, "GET /x", get(t, c, site+"/x").body, "the next request")
	})
	assert.Contains(t, g.log.String(), `handle_request: fuel: the call used up its fuel`)
	assert.Contains(t, g.refused(through(u.URL, "[{plugin: p, memory: 1MiB}]")), "module begins with 1114112 bytes of memory, want at most 1048576")
}

// A dropped file is served without a restart, the next version too, while requests go on.
func TestHTTPWasmHotLoad(t *testing.T) {
	u := serve(t, nil)
	g := start(t, through(u.URL, "[]"))
	version := func(text string) string {
		h := NewHandler()
		return string(h.Build(Cat(h.Call("write_body", I32Const(1), h.Text(text)), Stop()), nil))
	}
	content := through(u.URL, "[{plugin: p}]")
	content["plugins/p.wasm"] = version("one")
	g.update(content)
	assert.Equal(t, "one", get(t, g.h2, site+"/x").body)
	var group sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					assert.Contains(t, []string{"one", "two"}, get(t, g.h1, site+"/x").body)
				}
			}
		})
	}
	g.update(files{"plugins/p.wasm": version("two")})
	close(done)
	group.Wait()
	assert.Equal(t, "two", get(t, g.h2, site+"/x").body)
	for _, p := range g.status().Policies {
		if p.Plugin == "p" {
			assert.Equal(t, []string{"handle_request", "handle_response"}, p.Hooks)
			assert.Contains(t, p.Capabilities, "http_handler write_body")
		}
	}
	assert.Contains(t, g.refused(files{"plugins/q.wasm": strings.Replace(version("x"), "write_body", "wrote_body", 1)}),
		`import refused: "http_handler" "wrote_body" is unknown`)
}

// goHandler compiles the handler that is written in Go.
var goHandler = sync.OnceValues(func() (string, error) { return buildGo("testdata/httpwasm/go") })

// A language's whole runtime: files, environment and directories look empty, what it prints
// is in the log, and a plugin that ends itself at its start is refused.
func TestHTTPWasmInGo(t *testing.T) {
	wasm, err := goHandler()
	require.NoError(t, err)
	u := serve(t, nil)
	g := handler(t, u, wasm, "")
	g.each(t, func(t *testing.T, c *http.Client) {
		a := get(t, c, site+"/x")
		require.Equal(t, "written in Go", a.body)
		assert.Equal(t, "", a.Header.Get("X-Env"))
		assert.Equal(t, "true true true", a.Header.Get("X-Open"))
		assert.Equal(t, fmt.Sprint(time.Now().Year()), a.Header.Get("X-Year"), "the clock is real")
	})
	assert.Contains(t, g.log.String(), "starting")
	assert.Contains(t, g.log.String(), "to standard error")
	assert.Contains(t, g.refused(through(u.URL, "[{plugin: p, config: exit}]")), "guest ended itself with code 1")
	assert.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
}
