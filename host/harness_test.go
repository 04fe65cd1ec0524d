package host_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host"
	"github.com/wasmgate/wasmgate/host/internal/control"
)

// compiled is the native code of plugins that any test compiled; TestMain makes and removes it.
var compiled string

func TestMain(m *testing.M) {
	if where, ok := os.LookupEnv(replayIn); ok {
		os.Exit(replayElsewhere(where))
	}
	var err error
	if compiled, err = os.MkdirTemp("", "wasmgate-compiled-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// Pebble has no way to end.
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.(*VAImpl).processTasks"),
		// certmagic's file locks: each ends by itself within 5 s of the unlock.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.Cleanup(func(code int) {
			os.RemoveAll(compiled)
			os.Exit(code)
		}))
}

// files are texts by path below a gateway's folder: apis/shop.yaml, plugins/x.wasm. What
// wasmgate.yaml says is added to what the harness says, or takes its place key by key.
type files map[string]string

const processFile = `
listen: {https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0"}
tls: {mode: internal}
data_dir: data
apis: {dir: apis}
plugins: {dir: plugins}
timeouts: {shutdown: 5s}
`

// process is the process file: own keys, and those of the harness that own does not have.
func process(own string) string {
	for line := range strings.Lines(processFile) {
		key, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(own, key) && !strings.Contains(own, "\n"+key) {
			own = strings.TrimSuffix(own, "\n") + "\n" + strings.TrimSuffix(line, "\n")
		}
	}
	return own + "\n"
}

// gateway is a host that serves until its test ends.
type gateway struct {
	*host.Host
	t                  testing.TB
	dir                string
	https, http, admin string
	roots              *x509.CertPool // the gateway's own CA
	h1, h2             *http.Client   // every name leads to the gateway
	log, access        *text
}

// start serves files until the test ends.
func start(t testing.TB, content files) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), log: &text{}, access: &text{}}
	options := prepare(t, g.dir, content)
	options.Stdout, options.Stderr = g.access, g.log
	h, err := host.New(options)
	require.NoError(t, err)
	g.Host = h
	ended := make(chan error, 1)
	go func() { ended <- h.Run(context.Background()) }() // waited for by stop
	t.Cleanup(func() { g.stop(ended) })
	select {
	case <-h.Ready():
	case err := <-ended:
		ended <- nil
		require.NoError(t, err, "run host")
		t.Fatal("the host ended by itself")
	case <-time.After(2 * time.Minute):
		t.Fatal("the host is not ready after two minutes")
	}
	g.https, g.http, g.admin = h.Addresses()
	pem, err := os.ReadFile(filepath.Join(g.dir, "data", "ca.crt"))
	if err == nil { // other TLS modes have none
		g.roots = x509.NewCertPool()
		require.True(t, g.roots.AppendCertsFromPEM(pem))
	}
	g.h1, g.h2 = g.client(false), g.client(true)
	return g
}

// prepare writes files to dir and loads the configuration as the command does.
func prepare(t testing.TB, dir string, content files) host.Options {
	t.Helper()
	content = maps.Clone(content)
	content["wasmgate.yaml"] = process(content["wasmgate.yaml"])
	for _, name := range []string{"apis", "plugins", "data/compiled"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	put(t, dir, content)
	link(t, compiled, filepath.Join(dir, "data", "compiled"))
	config, err := host.Load(host.LoadOptions{File: filepath.Join(dir, "wasmgate.yaml"), Environ: []string{}})
	require.NoError(t, err)
	return host.Options{Config: config, Builtins: builtins(t), Version: "test", Stdout: io.Discard, Stderr: io.Discard}
}

// builtins are the built-in plugins as they come into the binary.
func builtins(t testing.TB) fs.FS {
	t.Helper()
	const dir = "../cmd/wasmgate/builtin"
	if found, err := filepath.Glob(dir + "/*.wasm"); err != nil || len(found) == 0 {
		t.Fatalf("no built-in plugin in %s: run `make plugins`", dir)
	}
	return os.DirFS(dir)
}

// stop ends the host and keeps what it compiled for the next test.
func (g *gateway) stop(ended chan error) {
	for _, c := range []*http.Client{g.h1, g.h2} {
		if c != nil {
			c.CloseIdleConnections()
		}
	}
	if err := g.Close(); err != nil {
		g.t.Errorf("close host: %v", err)
	}
	if err := <-ended; err != nil {
		g.t.Errorf("run host: %v", err)
	}
	link(g.t, filepath.Join(g.dir, "data", "compiled"), compiled)
	if g.t.Failed() {
		g.t.Logf("the gateway's log:\n%s", g.log)
	}
}

// link makes every file below from appear below to, too: native code is 100 MB.
func link(t testing.TB, from, to string) {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".tmp") {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		if err := os.Link(path, filepath.Join(to, name)); !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) { // made, or removed, by another test
			return err
		}
		return nil
	})
	require.NoError(t, err, "share native code")
}

// put writes files below dir, each one at once as editors do; an empty text removes.
func put(t testing.TB, dir string, content files) {
	t.Helper()
	staging := t.TempDir() // beside what is watched
	for _, name := range slices.Sorted(maps.Keys(content)) {
		path := filepath.Join(dir, name)
		if content[name] == "" {
			require.NoError(t, os.Remove(path))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		staged := filepath.Join(staging, "file")
		require.NoError(t, os.WriteFile(staged, []byte(content[name]), 0o600))
		require.NoError(t, os.Rename(staged, path))
	}
}

// put writes files and leaves it to the gateway to see them; an empty text removes.
func (g *gateway) put(content files) { put(g.t, g.dir, content) }

// update writes files and serves them.
func (g *gateway) update(content files) {
	g.t.Helper()
	g.put(content)
	require.NoError(g.t, g.Reload(g.t.Context()))
}

// refused writes files and gives the reason why they are not served.
func (g *gateway) refused(content files) string {
	g.t.Helper()
	g.put(content)
	err := g.Reload(g.t.Context())
	require.Error(g.t, err)
	return err.Error()
}

// client speaks one version only; every name leads to the gateway's door.
func (g *gateway) client(http2 bool) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, g.https)
		},
		TLSClientConfig: &tls.Config{RootCAs: g.roots}, DisableCompression: true, MaxIdleConnsPerHost: 100,
		ExpectContinueTimeout: 5 * time.Second, Protocols: new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetHTTP2(http2)
	return &http.Client{Transport: tr, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// each runs test once with HTTP/1.1 and once with HTTP/2.
func (g *gateway) each(t *testing.T, test func(t *testing.T, c *http.Client)) {
	t.Helper()
	for name, c := range map[string]*http.Client{"http1": g.h1, "http2": g.h2} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// answer is a whole response.
type answer struct {
	*http.Response
	body string
}

// send sends one request with header fields given as "name: value".
func send(t testing.TB, c *http.Client, method, url, body string, fields ...string) answer {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	require.NoError(t, err)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	return do(t, c, req)
}

// do sends a request and reads the whole answer.
func do(t testing.TB, c *http.Client, req *http.Request) answer {
	t.Helper()
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp, string(data)}
}

// get sends a GET request.
func get(t testing.TB, c *http.Client, url string, fields ...string) answer {
	t.Helper()
	return send(t, c, http.MethodGet, url, "", fields...)
}

// adminGet reads a path of the admin listener with its token.
func (g *gateway) adminGet(path string) string {
	g.t.Helper()
	token, err := os.ReadFile(filepath.Join(g.dir, "data", "admin.token"))
	require.NoError(g.t, err)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	return get(g.t, c, "http://"+g.admin+path, "Authorization: Bearer "+strings.TrimSpace(string(token))).body
}

func (g *gateway) status() (s control.Status) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal([]byte(g.adminGet("/admin/v1/status")), &s))
	return s
}

// metric is the sum of the samples of that name whose labels hold all of those given,
// each as name="value".
func (g *gateway) metric(name string, labels ...string) (sum float64) {
	g.t.Helper()
	for line := range strings.Lines(g.adminGet("/metrics")) {
		line = strings.TrimSpace(line)
		blank := strings.LastIndexByte(line, ' ') // a label's value may hold some, too
		if blank < 0 {
			continue
		}
		series, value := line[:blank], line[blank+1:]
		family, have, _ := strings.Cut(series, "{")
		if family != name || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(have, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		require.NoError(g.t, err, line)
		sum += v
	}
	return sum
}

// await waits until is holds.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("waited 30 s for: %s", what)
}

// seen is a request as an upstream got it.
type seen struct {
	method, target, host, body string
	header, trailer            http.Header
}

// upstream records what it gets.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	list []seen
}

// serve starts an upstream that records and answers by handler, whose request has its
// body still; nil answers 200 with the request's method and target.
func serve(t testing.TB, handler http.HandlerFunc) *upstream {
	u := unstarted(handler)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

func unstarted(handler http.HandlerFunc) *upstream {
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body) // what came before a broken end is what was seen
		u.mu.Lock()
		u.list = append(u.list, seen{r.Method, r.RequestURI, r.Host, string(data), r.Header.Clone(), r.Trailer})
		u.mu.Unlock()
		if handler == nil {
			io.WriteString(w, r.Method+" "+r.RequestURI)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(data))
		handler(w, r)
	}))
	u.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that tests want to fail
	return u
}

// last is the newest request.
func (u *upstream) last(t testing.TB) seen {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	require.NotEmpty(t, u.list, "the upstream saw no request")
	return u.list[len(u.list)-1]
}

// count is how many requests there were.
func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}

// text is a buffer that several goroutines may write.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *text) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is what was written so far.
func (b *text) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
