package host_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
)

// stopping is a gateway that is told to stop while requests are in flight.
type stopping struct {
	*gateway
	entered chan string // paths that reached the upstream
	release func()      // ends /slow
}

func startStopping(t *testing.T, shutdown string) *stopping {
	released := make(chan struct{})
	s := &stopping{entered: make(chan string, 10), release: sync.OnceFunc(func() { close(released) })}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.entered <- r.URL.Path
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: first\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done() // it never ends by itself
			return
		}
		<-released
		io.WriteString(w, "slow but whole")
	}))
	t.Cleanup(func() { s.release(); up.Close() })
	s.gateway = start(t, files{"wasmgate.yaml": "timeouts: {shutdown: " + shutdown + "}\n", "apis/s.yaml": document("x-wasmgate-api: {id: s, stage: prod}",
		`/slow: {get: {`+proxy(up.URL+"/slow")+`}}`, `/events: {get: {`+proxy(up.URL+"/events")+`}}`)})
	return s
}

const stopURL = "https://s.execute-api.localhost/prod"

// ready is the status of /readyz.
func (g *gateway) ready() (int, string) {
	resp, body, err := fetch(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, http.MethodGet, "http://"+g.admin+"/readyz", nil)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, body
}

// TestStop stops a gateway with a request in flight on each protocol: it says so first,
// takes nothing new, and answers what it took.
func TestStop(t *testing.T) {
	s := startStopping(t, "30s")
	status, _ := s.ready()
	require.Equal(t, http.StatusOK, status)
	idle := s.dialTLS(t)
	type result struct {
		resp *http.Response
		body string
		err  error
	}
	results := make(chan result, 2)
	for _, c := range []*http.Client{s.h1, s.h2} {
		go func() { // its result is waited for
			resp, body, err := fetch(c, http.MethodGet, stopURL+"/slow", nil)
			results <- result{resp, body, err}
		}()
		require.Equal(t, "/slow", <-s.entered)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }() // waited for below
	await(t, "readiness to fail", func() bool { status, _ := s.ready(); return status == http.StatusServiceUnavailable })
	_, details := s.ready()
	assert.Contains(t, details, "the gateway stops")
	assert.Contains(t, s.adminGet("/livez"), "true")
	await(t, "the door to close", func() bool {
		c, err := net.Dial("tcp", s.https)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	_, err := idle.br.ReadByte()
	assert.ErrorIs(t, err, io.EOF, "an idle connection is closed")
	assert.ErrorContains(t, s.Reload(t.Context()), "does not serve")
	select {
	case <-closed:
		t.Fatal("Close returns while requests are in flight")
	default:
	}
	s.release()
	for range 2 {
		r := <-results
		require.NoError(t, r.err)
		assert.Equal(t, "slow but whole", r.body)
		if r.resp.ProtoMajor == 1 {
			assert.True(t, r.resp.Close)
		}
	}
	require.NoError(t, <-closed)
	status, details = s.ready()
	assert.Zero(t, status, details)
}

// TestStopIsBounded stops a gateway with streams that never end.
func TestStopIsBounded(t *testing.T) {
	s := startStopping(t, "300ms")
	var streams []*bufio.Reader
	for _, c := range []*http.Client{s.h1, s.h2} {
		resp, err := c.Get(stopURL + "/events")
		require.NoError(t, err)
		defer resp.Body.Close()
		streams = append(streams, bufio.NewReader(resp.Body))
		line, err := streams[len(streams)-1].ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "data: first\n", line, "an event is flushed at once")
	}
	start := time.Now()
	require.NoError(t, s.Close())
	assert.Less(t, time.Since(start), 20*time.Second)
	for _, stream := range streams {
		_, err := io.ReadAll(stream)
		assert.Error(t, err, "a stream that was cut off does not look whole")
	}
	assert.Contains(t, s.log.String(), "requests in flight were cut off")
}

// TestStopWhileADoorRetires stops a gateway whose old door still waits for its clients.
func TestStopWhileADoorRetires(t *testing.T) {
	s := startStopping(t, "30s")
	idle := s.dialTLS(t)
	result := make(chan string, 1)
	go func() { // its result is waited for
		_, body, err := fetch(s.h1, http.MethodGet, stopURL+"/slow", nil)
		result <- fmt.Sprint(body, err)
	}()
	require.Equal(t, "/slow", <-s.entered)
	s.update(files{"wasmgate.yaml": process("timeouts: {shutdown: 20s, idle: 1h}\n")})
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }() // waited for below
	_, err := idle.br.ReadByte()
	assert.ErrorIs(t, err, io.EOF, "nobody waits for an idle client any more")
	s.release()
	assert.Equal(t, "slow but whole<nil>", <-result)
	require.NoError(t, <-closed)
}

// TestTwoHosts runs two gateways in one process that know nothing of each other.
func TestTwoHosts(t *testing.T) {
	up := serve(t, nil)
	hosts := make([]*gateway, 2)
	for i := range hosts {
		// The same names everywhere, but for the path and the plugin's build.
		hosts[i] = start(t, files{"plugins/stamp.wasm": stamp(i), "apis/a.yaml": document(
			"x-wasmgate-api: {id: a, stage: prod}\nx-wasmgate-policies: [{plugin: stamp, config: \""+mark(i)+"\"}]", fmt.Sprintf("/x: {get: {%s}}", proxy(fmt.Sprintf("%s/%d", up.URL, i))))})
	}
	for i, g := range hosts {
		g.each(t, func(t *testing.T, c *http.Client) {
			a := get(t, c, "https://a.execute-api.localhost/prod/x")
			assert.Equal(t, fmt.Sprint("GET /", i), a.body)
			assert.Equal(t, mark(i), a.Header.Get("x-plugin"))
			assert.Equal(t, mark(i), a.Header.Get("x-config"))
		})
		await(t, "the requests to be counted", func() bool { return g.metric("wasmgate_requests_total") == 2 })
	}
	stranger := hosts[0].client(false)
	stranger.Transport.(*http.Transport).TLSClientConfig.RootCAs = hosts[1].roots
	_, err := stranger.Get("https://a.execute-api.localhost/prod/x")
	assert.ErrorContains(t, err, "certificate", "each has an authority of its own")
	require.NoError(t, hosts[0].Close())
	assert.Equal(t, http.StatusOK, get(t, hosts[1].h2, "https://a.execute-api.localhost/prod/x").StatusCode)
}

// run runs a host that is not expected to get far.
func run(t *testing.T, content files) error {
	h, err := host.New(prepare(t, t.TempDir(), content))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = h.Run(ctx)
	require.NoError(t, ctx.Err(), "the host runs")
	require.NoError(t, h.Close())
	return err
}

func TestBusyAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for _, key := range []string{"https", "http", "admin"} {
		addresses := map[string]string{"https": "127.0.0.1:0", "http": "127.0.0.1:0", "admin": "127.0.0.1:0"}
		addresses[key] = l.Addr().String()
		err := run(t, files{"wasmgate.yaml": fmt.Sprintf("listen: {https: %q, http: %q, admin: %q}\n", addresses["https"], addresses["http"], addresses["admin"])})
		assert.ErrorContains(t, err, key)
		assert.ErrorContains(t, err, l.Addr().String())
		assert.ErrorContains(t, err, "address already in use")
	}
}

func TestBrokenAtStart(t *testing.T) {
	content := files{
		"apis/a.yaml":        document("x-wasmgate-api: {id: a, stage: prod}", "/x: {get: {x-wasmgate-policies: [{plugin: nobody}]}}"),
		"apis/b.yaml":        "openapi: [",
		"plugins/wrong.wasm": "wrong",
	}
	err := run(t, content)
	problems, ok := errors.AsType[*host.ConfigErrors](err)
	require.True(t, ok, "%v", err)
	text := problems.Error()
	for _, want := range []string{"apis/a.yaml:5:", `"nobody"`, "apis/b.yaml:1:", "plugins/wrong.wasm"} {
		assert.Contains(t, text, want, "all of it at once")
	}
	_, err = host.Validate(t.Context(), prepare(t, t.TempDir(), content))
	require.Error(t, err)
	assert.Equal(t, strings.Count(text, "\n"), strings.Count(err.Error(), "\n"), "validate finds the same")

	err = run(t, files{"wasmgate.yaml": "tls: {mode: files, certificates: [{cert: none.crt, key: none.key}]}\n"})
	assert.ErrorContains(t, err, "none.crt")
}

func TestCloseBeforeRun(t *testing.T) {
	h, err := host.New(prepare(t, t.TempDir(), files{}))
	require.NoError(t, err)
	assert.ErrorContains(t, h.Reload(t.Context()), "does not serve")
	require.NoError(t, h.Close())
	require.NoError(t, h.Close())
	assert.ErrorContains(t, h.Run(t.Context()), "closed")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	h, err = host.New(prepare(t, t.TempDir(), files{}))
	require.NoError(t, err)
	assert.NoError(t, h.Run(cancelled), "it was told to stop before it started")
	assert.ErrorContains(t, h.Run(t.Context()), "runs already")
}
