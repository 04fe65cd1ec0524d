package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeHost struct {
	ready   atomic.Bool
	reloads atomic.Int64
	refuse  error
	hold    chan struct{} // Reload waits for it, when not nil

	unwritable error // of the audit log
	recorded   []string
}

func (h *fakeHost) Review() Review {
	return Review{Snapshot: "sha256:00", Policies: []ReviewedPolicy{{Plugin: "jwt", Grants: model.Grants{JWKS: []string{"https://a.example"}}}}}
}

func (h *fakeHost) Record(remote, method, path string) error {
	h.recorded = append(h.recorded, remote, method, path)
	return h.unwritable
}

func (h *fakeHost) Status() Status {
	return Status{Version: "1", Ready: h.ready.Load(), Snapshot: Snapshot{Digest: "sha256:00"},
		Parts: []Part{{Name: "config", Ready: true, Detail: "apis/bad.yaml:3:1: refused"}, {Name: "certificates"}}}
}

func (h *fakeHost) Reload(context.Context) error {
	if h.hold != nil {
		<-h.hold
	}
	h.reloads.Add(1)
	return h.refuse
}

// start runs a server and gives its token.
func start(t *testing.T, h *fakeHost, changes ...func(*Server)) (s *Server, token string) {
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wasmgate_x"}, func() float64 { return 1 }))
	s, err := New(Options{Address: "127.0.0.1:0", DataDir: dir, Host: h, Metrics: registry, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, change := range changes {
		change(s)
	}
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, s.Run(ctx)) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		assert.NoError(t, s.Close())
		assert.NoError(t, s.Close())
	})
	path, created := s.TokenFile()
	assert.True(t, created)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return s, strings.TrimSpace(string(data))
}

// send writes one request as it stands and reads the answer.
func send(t *testing.T, s *Server, head string) (status int, body string, header http.Header) {
	conn, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, head)
	require.NoError(t, err)
	method, _, _ := strings.Cut(head, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}) // HEAD has no body
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data), resp.Header
}

func TestAccess(t *testing.T) {
	h := &fakeHost{}
	h.ready.Store(true)
	s, token := start(t, h)
	const local = "Host: localhost:9443\r\n"
	with := local + "Authorization: Bearer " + token + "\r\n"
	for _, c := range []struct {
		line, fields string
		status       int
	}{
		{"GET /livez", local, 200},
		{"HEAD /livez", local, 200},
		{"GET /readyz", local, 200},
		{"GET /readyz?verbose", local, 200},
		{"GET /healthz", local, 200},
		{"GET /metrics", local, 200},
		{"GET /livez", "Host: 127.0.0.1\r\n", 200},
		{"GET /livez", "Host: 127.9.9.9:1\r\n", 200},
		{"GET /livez", "Host: [::1]:9443\r\n", 200},
		{"GET /livez", "Host: [::1]\r\n", 200},
		{"GET /livez", "Host: LOCALHOST\r\n", 200},
		{"GET /admin/v1/status", with, 200},
		{"GET /admin/v1/status", local + "Authorization: bearer " + token + "\r\n", 200},
		{"POST /admin/v1/reload", with + "Content-Length: 0\r\n", 200},

		// DNS rebinding.
		{"GET /livez", "Host: evil.example\r\n", 403},
		{"GET /livez", "Host: localhost.evil.example\r\n", 403},
		{"GET /livez", "Host: 127.0.0.1.evil.example\r\n", 403},
		{"GET /metrics", "Host: 10.0.0.1\r\n", 403},
		{"GET /livez", "Host: 0.0.0.0\r\n", 403},
		{"GET /livez", "Host: 127.1\r\n", 403},
		{"GET /livez", "Host: 2130706433\r\n", 403},
		{"GET /livez", "Host: localhost.\r\n", 403},
		{"GET /livez", "Host:\r\n", 403},
		{"GET http://evil.example/livez", local, 403},
		{"GET /admin/v1/status", "Host: evil.example\r\nAuthorization: Bearer " + token + "\r\n", 403},
		// Pages in browsers.
		{"GET /metrics", local + "Origin: https://evil.example\r\n", 403},
		{"GET /readyz", local + "Origin: null\r\n", 403},
		{"GET /livez", local + "Sec-Fetch-Site: cross-site\r\n", 403},
		{"POST /admin/v1/reload", with + "Origin:\r\nContent-Length: 0\r\n", 403},
		{"POST /admin/v1/reload", with + "Sec-Fetch-Site: none\r\nContent-Length: 0\r\n", 403},
		// The token.
		{"GET /admin/v1/status", local, 401},
		{"GET /admin/v1/status", local + "Authorization: Bearer \r\n", 401},
		{"GET /admin/v1/status", local + "Authorization: Bearer " + token[:42] + "\r\n", 401},
		{"GET /admin/v1/status", local + "Authorization: Bearer " + token + "x\r\n", 401},
		{"GET /admin/v1/status", local + "Authorization: Basic " + token + "\r\n", 401},
		{"GET /admin/v1/status", local + "Authorization: " + token + "\r\n", 401},
		{"GET /admin/v1/status", with + "Authorization: Bearer " + token + "\r\n", 401},
		{"GET /admin/v1/status?token=" + token, local, 401},
		{"POST /admin/v1/reload", local + "Content-Length: 0\r\n", 401},
		// Paths.
		{"GET /admin/v1/status/", with, 404},
		{"GET //admin/v1/status", with, 404},
		{"GET /admin/v1/../v1/status", with, 404},
		{"GET /livez/../admin/v1/status", local, 401},
		{"GET /admin%2fv1%2fstatus", with, 404},
		{"GET /%61dmin/v1/status", with, 404},
		{"GET /ADMIN/v1/status", with, 404},
		{"GET /admin/v1/status;x", with, 404},
		{"GET //livez", local, 401},
		{"GET /", local, 401},
		{"OPTIONS *", local, 401},
		{"GET http://localhost/livez", local, 401},
		// Methods.
		{"GET /admin/v1/reload", with, 405},
		{"HEAD /admin/v1/reload", with, 405},
		{"POST /admin/v1/status", with + "Content-Length: 0\r\n", 405},
		{"POST /metrics", local + "Content-Length: 0\r\n", 405},
	} {
		status, body, header := send(t, s, c.line+" HTTP/1.1\r\n"+c.fields+"\r\n")
		name := c.line + "\n" + c.fields
		assert.Equal(t, c.status, status, name)
		assert.Equal(t, "no-store", header.Get("Cache-Control"), name)
		assert.NotContains(t, body, token)
		assert.Empty(t, header.Get("Location"), "no cleaning redirect: %s", name)
		if status >= 400 {
			assert.True(t, json.Valid([]byte(body)) || strings.HasPrefix(c.line, "HEAD"), name)
		}
		assert.Equal(t, status == 401, header.Get("WWW-Authenticate") == "Bearer", name)
	}
	assert.EqualValues(t, 1, h.reloads.Load(), "only the one that had all")
}

func get(t *testing.T, s *Server, path, token string, into any) int {
	status, body, _ := send(t, s, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", path, token))
	require.NoError(t, json.Unmarshal([]byte(body), into), body)
	return status
}

func TestReadinessTellsTheParts(t *testing.T) {
	h := &fakeHost{}
	s, token := start(t, h)
	var got struct {
		Ready bool
		Parts []Part
	}
	assert.Equal(t, 503, get(t, s, "/readyz", "", &got))
	assert.False(t, got.Ready)
	assert.Equal(t, h.Status().Parts, got.Parts)
	h.ready.Store(true)
	assert.Equal(t, 200, get(t, s, "/healthz", "", &got))
	var st Status
	assert.Equal(t, 200, get(t, s, "/admin/v1/status", token, &st))
	assert.Equal(t, h.Status(), st)
	_, body, header := send(t, s, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	assert.Contains(t, body, "wasmgate_x 1")
	assert.Contains(t, header.Get("Content-Type"), "text/plain")
}

func TestReload(t *testing.T) {
	h := &fakeHost{refuse: errors.New(`apis/a.yaml:1:1: unknown key "x"`)}
	s, token := start(t, h)
	post := "POST /admin/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	status, body, _ := send(t, s, post)
	assert.Equal(t, 422, status)
	assert.JSONEq(t, `{"reloaded":false,"error":"apis/a.yaml:1:1: unknown key \"x\"","snapshot":{"digest":"sha256:00","loaded":"0001-01-01T00:00:00Z","routes":0}}`, body)
	h.refuse = nil
	status, body, _ = send(t, s, post)
	assert.Equal(t, 200, status)
	assert.Contains(t, body, `"reloaded":true`)
}

// What changes something is recorded with who asked, before it is done, or not done.
func TestChangesAreRecorded(t *testing.T) {
	h := &fakeHost{}
	s, token := start(t, h)
	with := "Host: localhost\r\nAuthorization: Bearer " + token + "\r\n"
	for _, reading := range []string{"GET /admin/v1/status", "GET /admin/v1/audit", "GET /metrics", "GET /admin/v1/reload"} {
		send(t, s, reading+" HTTP/1.1\r\n"+with+"\r\n")
	}
	const post = "POST /admin/v1/reload HTTP/1.1\r\n"
	send(t, s, post+"Host: localhost\r\nContent-Length: 0\r\n\r\n") // without the token
	require.Empty(t, h.recorded)
	status, _, _ := send(t, s, post+with+"Content-Length: 0\r\n\r\n")
	assert.Equal(t, 200, status)
	require.Len(t, h.recorded, 3)
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, h.recorded[0])
	assert.Equal(t, []string{"POST", "/admin/v1/reload"}, h.recorded[1:])
	h.unwritable = errors.New("disk is full")
	status, body, _ := send(t, s, post+with+"Content-Length: 0\r\n\r\n")
	assert.Equal(t, 503, status)
	assert.JSONEq(t, `{"message":"what is not recorded is not done: disk is full"}`, body)
	assert.EqualValues(t, 1, h.reloads.Load())
}

func TestReview(t *testing.T) {
	h := &fakeHost{}
	s, token := start(t, h)
	var got Review
	assert.Equal(t, 200, get(t, s, "/admin/v1/audit", token, &got))
	assert.Equal(t, h.Review(), got)
	status, _, _ := send(t, s, "GET /admin/v1/audit HTTP/1.1\r\nHost: localhost\r\n\r\n")
	assert.Equal(t, 401, status)
}

// A stop waits for a reload that runs.
func TestRunDrains(t *testing.T) {
	h := &fakeHost{hold: make(chan struct{})}
	s, err := New(Options{Address: "localhost:0", DataDir: t.TempDir(), Host: h, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.ErrorContains(t, s.Run(t.Context()), "not listening")
	require.NoError(t, s.Listen())
	path, _ := s.TokenFile()
	token, err := os.ReadFile(path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, s.Run(ctx)) })
	wg.Go(func() {
		status, _, _ := send(t, s, "POST /admin/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nAuthorization: Bearer "+
			strings.TrimSpace(string(token))+"\r\n\r\n")
		assert.Equal(t, 200, status)
	})
	h.hold <- struct{}{} // it runs
	cancel()
	wg.Wait()
	assert.EqualValues(t, 1, h.reloads.Load())
	require.NoError(t, s.Close())
	assert.NoError(t, s.Run(t.Context()), "after Close it returns at once")
}

func TestSlowClientIsCutOff(t *testing.T) {
	s, _ := start(t, &fakeHost{}, func(s *Server) { s.server.ReadHeaderTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHo")
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	_, err = io.ReadAll(conn)
	assert.NoError(t, err, "the server closes")
	status, _, _ := send(t, s, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	assert.Equal(t, 431, status)
}

func TestAddressIsLoopback(t *testing.T) {
	for _, a := range []string{"0.0.0.0:9443", ":9443", "10.0.0.1:9443", "[::]:9443", "example.com:9443", "127.0.0.1", "[fe80::1%lo]:1"} {
		_, err := New(Options{Address: a})
		assert.ErrorContains(t, err, "admin address", a)
	}
	for _, a := range []string{"127.0.0.1:9443", "127.8.8.8:1", "[::1]:9443", "localhost:9443"} {
		_, err := New(Options{Address: a, Metrics: prometheus.NewRegistry()})
		assert.NoError(t, err, a)
	}
}

func TestToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, created, err := openToken(dir)
	require.NoError(t, err)
	assert.True(t, created)
	file := filepath.Join(dir, "admin.token")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	again, created, err := openToken(dir)
	require.NoError(t, err)
	assert.False(t, created)
	assert.Equal(t, first, again)
	other, _, err := openToken(t.TempDir())
	require.NoError(t, err)
	assert.NotEqual(t, first, other)

	require.NoError(t, os.Chmod(file, 0o640))
	_, _, err = openToken(dir)
	assert.ErrorContains(t, err, "want 0600")
	require.NoError(t, os.Chmod(file, 0o600))
	for _, bad := range []string{"", "changeme", strings.Repeat("!", 43)} {
		require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
		_, _, err = openToken(dir)
		assert.ErrorContains(t, err, "holds no token", bad)
	}
	left, err := filepath.Glob(dir + "/.admin*")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestRefusalsAreLogged(t *testing.T) {
	var out bytes.Buffer
	s, err := New(Options{Address: "127.0.0.1:0", Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewJSONHandler(&out, nil))})
	require.NoError(t, err)
	r, err := http.NewRequest("GET", "http://evil.example/livez%0a?token=secret", nil)
	require.NoError(t, err)
	s.ServeHTTP(discard{}, r)
	assert.Contains(t, out.String(), `"host":"evil.example"`)
	assert.NotContains(t, out.String(), "secret")
	assert.Equal(t, 1, strings.Count(out.String(), "\n"))
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
