package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scene is a gateway before an upstream that has what real clients ask for, behind a relay
// that counts connections.
type scene struct {
	*gateway
	url, ca   string
	opened    atomic.Int64 // connections of clients
	seen      chan struct{}
	cancelled atomic.Int64 // requests of /endless that ended
	outcome   chan string  // what a page said
}

func startScene(t *testing.T) *scene {
	s := &scene{seen: make(chan struct{}, 1), outcome: make(chan string, 1)}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	page, err := os.ReadFile("testdata/clients/page.html")
	require.NoError(t, err)
	routes := http.NewServeMux()
	routes.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		fmt.Fprintf(w, "%s %d %x", r.Method, len(body), sha256.Sum256(body))
	})
	routes.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		w.Write(big)
	})
	routes.HandleFunc("/events", s.events)
	routes.HandleFunc("/trailers", trailers)
	routes.HandleFunc("/seen", func(http.ResponseWriter, *http.Request) { s.seen <- struct{}{} })
	routes.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		s.cancelled.Add(1)
	})
	routes.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write(page)
	})
	routes.HandleFunc("/outcome", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		s.outcome <- string(text)
	})
	up := serve(t, routes.ServeHTTP)
	s.gateway = start(t, files{"wasmgate.yaml": quiet, "apis/c.yaml": document("x-wasmgate-api: {id: c, domains: [127.0.0.1]}",
		`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.URL+"/{proxy}")+`}}`)})
	s.ca = filepath.Join(s.dir, "data", "ca.crt")
	s.url = "https://" + s.relay(t)
	return s
}

// events sends an event only when the one before was seen: a gateway that holds one back
// stops them all.
func (s *scene) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", n)
		w.(http.Flusher).Flush()
		select {
		case <-s.seen:
		case <-r.Context().Done():
			return
		}
	}
}

// trailers answers with the body and the trailers that came, and trailers of its own.
func trailers(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%q %q", body, r.Trailer["X-End"])
	w.(http.Flusher).Flush()
	w.Header().Set(http.TrailerPrefix+"X-Sum", fmt.Sprint(len(body)))
}

// relay passes connections on to the gateway and counts them.
func (s *scene) relay(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	pass := func(to, from net.Conn) {
		io.Copy(to, from)
		to.(*net.TCPConn).CloseWrite()
	}
	running.Go(func() { // ends with l; waited for below
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			s.opened.Add(1)
			server, err := net.Dial("tcp", s.https)
			if !assert.NoError(t, err) {
				client.Close()
				continue
			}
			var both sync.WaitGroup
			both.Go(func() { pass(server, client) })
			both.Go(func() { pass(client, server) })
			running.Go(func() {
				both.Wait()
				client.Close()
				server.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// cached is a file that `make setup` puts below .cache.
func cached(t *testing.T, name ...string) string {
	path, err := filepath.Abs(filepath.Join(append([]string{"..", ".cache"}, name...)...))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "run `make setup`")
	return path
}

// TestPrograms has the clients that people use do what people do with them, all against one
// running gateway: bodies both ways, with and without a known length; events that arrive
// one by one; a request that is given up; one connection for many requests.
func TestPrograms(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	s := startScene(t)
	python := cached(t, "clients", "python", "bin", "python")
	undici := cached(t, "clients", "node", "node_modules", "undici")
	scripts := func(name string) string { return filepath.Join("testdata", "clients", name) }
	classes := t.TempDir()
	out, err := tool(t, "", "javac", "-d", classes, scripts("Client.java"))
	require.NoError(t, err, out)
	for name, command := range map[string][]string{
		"Python requests": {python, scripts("python_requests.py"), s.url, s.ca},
		"Python httpx 1":  {python, scripts("python_httpx.py"), s.url, s.ca, "*", "1"},
		"Python httpx 2":  {python, scripts("python_httpx.py"), s.url, s.ca, "*", "2"},
		"Node https":      {"node", scripts("node.mjs"), s.url, s.ca, "*", "https"},
		"Node http2":      {"node", scripts("node.mjs"), s.url, s.ca, "*", "http2"},
		"Node undici":     {"node", scripts("node.mjs"), s.url, s.ca, "*", undici},
		"Java 1":          {"java", "-cp", classes, "Client", s.url, s.ca, "*", "HTTP_1_1"},
		"Java 2":          {"java", "-cp", classes, "Client", s.url, s.ca, "*", "HTTP_2"},
	} {
		t.Run(name, func(t *testing.T) {
			s.run(t, command, "bodies")
			s.run(t, command, "events")
			if command[0] == "node" { // the others have no words for trailers
				s.run(t, command, "trailers")
			}
			s.cancels(t, func() { s.run(t, command, "cancel") })
			before := s.opened.Load()
			s.run(t, command, "reuse")
			assert.Equal(t, before+1, s.opened.Load(), "20 requests over one connection")
		})
	}
	t.Run("Chromium", s.chromium)
	t.Run("curl", s.curl)
	t.Run("curl streams", s.curlStreams)
	t.Run("wrk and h2load", s.load)
	t.Run("nghttp", s.nghttp)
	t.Run("Go net/http", s.netHTTP)
	assert.NotContains(t, s.log.String(), `"ERROR"`)
}

// run runs a client, whose scenario stands where the command has a star or at its end.
func (s *scene) run(t *testing.T, command []string, scenario string) {
	t.Helper()
	args := slices.Clone(command)
	if i := slices.Index(args, "*"); i >= 0 {
		args[i] = scenario
	} else {
		args = append(args, scenario)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, "%s: %s", scenario, out)
}

// cancels requires that a request that is given up ends at the upstream too.
func (s *scene) cancels(t *testing.T, act func()) {
	t.Helper()
	before := s.cancelled.Load()
	act()
	await(t, "the request ends at the upstream", func() bool { return s.cancelled.Load() == before+1 })
}

func (s *scene) chromium(t *testing.T) {
	conn, err := tls.Dial("tcp", s.https, &tls.Config{RootCAs: s.roots})
	require.NoError(t, err)
	key := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var output text
	browser := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+t.TempDir(), "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]), s.url+"/page")
	browser.Stdout, browser.Stderr = &output, &output
	browser.WaitDelay = 10 * time.Second
	s.cancels(t, func() {
		require.NoError(t, browser.Start())
		select {
		case got := <-s.outcome:
			assert.Equal(t, "all is well", got)
		case <-ctx.Done():
			t.Errorf("the page said nothing; chromium wrote %s", output.String())
		}
	})
	cancel()
	_ = browser.Wait() // it was killed
}

// curlStreams has curl read events, trailers and an answer that it gives up.
func (s *scene) curlStreams(t *testing.T) {
	for _, version := range []string{"--http1.1", "--http2"} {
		t.Run(version, func(t *testing.T) {
			args := []string{"--silent", "--no-buffer", "--max-time", "60", version, "--cacert", s.ca}
			stream := func(path string) (*exec.Cmd, io.Reader) {
				curl := exec.CommandContext(t.Context(), "curl", append(args, s.url+path)...)
				out, err := curl.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, curl.Start())
				return curl, out
			}
			curl, out := stream("/events")
			buf := make([]byte, len("data: 0\n\n"))
			for n := range 3 {
				_, err := io.ReadFull(out, buf)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("data: %d\n\n", n), string(buf))
				s.seen <- struct{}{}
			}
			require.NoError(t, curl.Wait())

			heads := filepath.Join(t.TempDir(), "heads")
			got, err := tool(t, "", "curl", append(args, "--dump-header", heads, "--data", "hi", s.url+"/trailers")...)
			require.NoError(t, err, got)
			require.Equal(t, `"hi" []`, got)
			head, err := os.ReadFile(heads)
			require.NoError(t, err)
			require.Contains(t, string(head), "\r\n\r\nx-sum: 2\r\n", "behind the head")

			s.cancels(t, func() {
				curl, out := stream("/endless")
				_, err := io.ReadFull(out, buf[:len("hello")])
				require.NoError(t, err)
				require.NoError(t, curl.Process.Kill())
				require.Error(t, curl.Wait())
			})
		})
	}
}

func (s *scene) nghttp(t *testing.T) {
	out, err := tool(t, "", "nghttp", "--null-out", "--stat", "--multiply=50", s.url+"/big")
	require.NoError(t, err, out)
	require.Equal(t, 50, strings.Count(out, " 200 "), out)
	file := filepath.Join(t.TempDir(), "upload")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600))
	out, err = tool(t, "", "nghttp", "--data="+file, s.url+"/echo")
	require.NoError(t, err, out)
	require.Contains(t, out, fmt.Sprintf("POST %d %x", 1<<20, sha256.Sum256(bytes.Repeat([]byte("x"), 1<<20))))
	require.NoError(t, os.WriteFile(file, []byte("hi"), 0o600))
	out, err = tool(t, "", "nghttp", "--verbose", "--data="+file, "--trailer=x-end: 1", s.url+"/trailers")
	require.NoError(t, err, out)
	require.Contains(t, out, `"hi" ["1"]`)
	require.Contains(t, out, "x-sum: 2")
}

func (s *scene) netHTTP(t *testing.T) {
	s.each(t, func(t *testing.T, c *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1/events", nil)
		require.NoError(t, err)
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		buf := make([]byte, 64)
		for n := range 3 {
			got, err := io.ReadFull(resp.Body, buf[:len("data: 0\n\n")])
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("data: %d\n\n", n), string(buf[:got]))
			require.Equal(t, http.StatusOK, get(t, c, "https://127.0.0.1/seen").StatusCode)
		}
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1/trailers", io.MultiReader(strings.NewReader("hi")))
		require.NoError(t, err)
		req.Trailer = http.Header{"X-End": {"1"}}
		answered, err := c.Do(req)
		require.NoError(t, err)
		defer answered.Body.Close()
		body, err := io.ReadAll(answered.Body)
		require.NoError(t, err)
		require.Equal(t, `"hi" ["1"]`, string(body))
		require.Equal(t, []string{"2"}, answered.Trailer["X-Sum"])
		s.cancels(t, func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1/endless", nil)
			require.NoError(t, err)
			resp, err := c.Do(req)
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Body, buf[:5])
			require.NoError(t, err)
			cancel()
			resp.Body.Close()
		})
	})
}

// A load balancer's PROXY protocol header tells the client's address to policies and logs.
func TestProxyProtocol(t *testing.T) {
	up := serve(t, nil)
	g := start(t, files{"wasmgate.yaml": `listen: {https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0", proxy_protocol: ["127.0.0.0/8", "::1"]}`,
		"apis/c.yaml": document("x-wasmgate-api: {id: c, domains: [127.0.0.1]}",
			`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.URL+"/{proxy}")+`}}`)})
	args := []string{"--silent", "--show-error", "--max-time", "60", "--cacert", filepath.Join(g.dir, "data", "ca.crt"), "https://" + g.https + "/a"}
	for _, version := range []string{"--http1.1", "--http2"} {
		out, err := tool(t, "", "curl", append(args, version, "--haproxy-protocol")...)
		require.NoError(t, err, out)
		require.Equal(t, "GET /a", out)
		require.Equal(t, "127.0.0.1", up.last(t).header.Get("x-forwarded-for"))
		conn, err := net.Dial("tcp", g.https)
		require.NoError(t, err)
		_, err = io.WriteString(conn, "PROXY TCP4 203.0.113.7 10.0.0.1 1234 443\r\n")
		require.NoError(t, err)
		c := g.client(version == "--http2")
		c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
		require.Equal(t, "GET /b", get(t, c, "https://127.0.0.1/b").body)
		require.Equal(t, "203.0.113.7", up.last(t).header.Get("x-forwarded-for"))
		c.CloseIdleConnections()
	}
	out, err := tool(t, "", "curl", args...)
	require.Error(t, err, out)
	await(t, "the refusal is counted", func() bool {
		return g.metric("wasmgate_refused_total", `reason="PROXY`) == 1
	})
	await(t, "the log tells the client's address", func() bool { return strings.Contains(g.access.String(), `"203.0.113.7"`) })
}
