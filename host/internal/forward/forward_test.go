package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short timeouts, for upstreams that stall.
var short = Options{Connect: 2 * time.Second, FirstByte: 150 * time.Millisecond, Idle: 150 * time.Millisecond}

func newForwarder(t testing.TB, o Options) *Forwarder {
	f, err := New(o)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

func target(t testing.TB, rawURL string) Target {
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	require.NoError(t, err)
	return Target{Scheme: u.Scheme, Host: u.Hostname(), Port: uint16(port)}
}

func upstreamOf(t testing.TB, f *Forwarder, rawURL string) *Upstream {
	u, err := f.Upstream(target(t, rawURL))
	require.NoError(t, err)
	return u
}

// scripted is an upstream of raw sockets: handle answers the n-th request, counted from 1,
// and says whether the connection goes on.
type scripted struct {
	url         string
	connections atomic.Int64
	requests    atomic.Int64
}

func script(t testing.TB, handle func(n int64, r *http.Request, c net.Conn) bool) *scripted {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &scripted{url: "http://" + l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() { // ends with the listener; the clean-up waits
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() { // ends with its connection; the clean-up waits
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					request, err := http.ReadRequest(r)
					if err != nil || !handle(s.requests.Add(1), request, c) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// say answers every request with the same bytes and keeps the connection.
func say(t testing.TB, answer string) *scripted {
	return script(t, func(_ int64, r *http.Request, c net.Conn) bool {
		io.Copy(io.Discard, r.Body)
		_, err := io.WriteString(c, answer)
		return err == nil
	})
}

const fine = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

func newExchange(body string) *exchange.Exchange {
	x := exchange.Acquire()
	x.Context = context.Background()
	if body != "" {
		x.Body, x.BodyLength = strings.NewReader(body), int64(len(body))
	}
	return x
}

// do makes one call and gives what the client would get.
func do(f *Forwarder, c *Call, x *exchange.Exchange) (status int, body string, err error) {
	if c.Method == "" {
		c.Method = "GET"
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if err := f.Do(x, c); err != nil {
		return 0, "", err
	}
	b := x.Response.Body
	if s := x.Response.Stream; s != nil {
		b, err = io.ReadAll(s)
		s.Close()
	}
	return x.Response.Status, string(b), err
}

func get(f *Forwarder, u *Upstream) (status int, body string, err error) {
	x := newExchange("")
	defer x.Release()
	return do(f, &Call{Upstream: u}, x)
}

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestBodiesBothWays(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("x-chunked") != "" {
			w.(http.Flusher).Flush()
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		w.Write(body)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	f := newForwarder(t, Options{Roots: roots})
	for _, server := range []*httptest.Server{plain, secure} {
		u := upstreamOf(t, f, server.URL)
		for _, size := range []int{0, 1, 255, smallBody - 1, smallBody, smallBody + 1, 100_000, 1 << 20} {
			for _, mode := range []string{"known", "unknown", "memory"} {
				for _, answer := range []string{"", "yes"} {
					t.Run(fmt.Sprint(server.URL[:5], size, mode, answer), func(t *testing.T) {
						sent := strings.Repeat("0123456789abcdef", size/16+1)[:size]
						x := newExchange(sent)
						defer x.Release()
						switch mode {
						case "unknown":
							x.Body, x.BodyLength = io.MultiReader(strings.NewReader(sent)), -1
						case "memory":
							x.SetBody([]byte(sent))
						}
						if answer != "" {
							x.Header.Add("x-chunked", answer)
						}
						status, got, err := do(f, &Call{Upstream: u, Method: "POST", Header: &x.Header}, x)
						require.NoError(t, err)
						require.Equal(t, 200, status)
						require.True(t, got == sent, "%d bytes, want %d", len(got), len(sent))
					})
				}
			}
		}
		f.Connections(func(name string, open, idle int) {
			if name == u.String() {
				require.Equal(t, []int{1, 1}, []int{open, idle}, "one connection served all")
			}
		})
	}
}

// What goes out, byte for byte.
func TestRequestBytes(t *testing.T) {
	for name, tt := range map[string]struct {
		call   Call
		header []string
		body   string
		length int64
		want   string
	}{
		"plain": {Call{Path: "/a%2Fb//../c", Query: "x=%zz&y"}, nil, "", 0,
			"GET /a%2Fb//../c?x=%zz&y HTTP/1.1\r\nhost: HOST\r\n\r\n"},
		"authority and fields": {Call{Authority: "example.com:1"}, []string{"b: 1", "a: 2", "b: 3"}, "", 0,
			"GET / HTTP/1.1\r\nhost: example.com:1\r\nb: 1\r\na: 2\r\nb: 3\r\n\r\n"},
		"framing and hops of others": {Call{}, []string{"content-length: 7", "transfer-encoding: chunked", "host: evil", "connection: x",
			"te: trailers", "upgrade: h2c", "keep-alive: 1", "x: y"}, "", 0,
			"GET / HTTP/1.1\r\nhost: HOST\r\nx: y\r\n\r\n"},
		"body": {Call{Method: "POST"}, nil, "hello", 5,
			"POST / HTTP/1.1\r\nhost: HOST\r\ncontent-length: 5\r\n\r\nhello"},
		"body of unknown length": {Call{Method: "POST"}, nil, "hello", -1,
			"POST / HTTP/1.1\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"no body": {Call{Method: "POST", NoBody: true}, nil, "hello", 5,
			"POST / HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			want := strings.ReplaceAll(tt.want, "HOST", l.Addr().String())
			go func() { // ends with its one connection; the test takes what it got
				c, err := l.Accept()
				if err != nil {
					got <- err.Error()
					return
				}
				defer c.Close()
				b := make([]byte, len(want))
				io.ReadFull(c, b)
				io.WriteString(c, fine)
				rest, _ := io.ReadAll(c)
				got <- string(b) + string(rest)
			}()
			f := newForwarder(t, Options{})
			x := newExchange(tt.body)
			defer x.Release()
			x.BodyLength = tt.length
			for _, line := range tt.header {
				name, value, _ := strings.Cut(line, ": ")
				x.Header.Add(name, value)
			}
			tt.call.Upstream, tt.call.Header = upstreamOf(t, f, "http://"+l.Addr().String()), &x.Header
			_, body, err := do(f, &tt.call, x)
			require.NoError(t, err)
			require.Equal(t, "ok", body)
			f.Close()
			require.Equal(t, want, <-got)
		})
	}
}

// Nothing that a plugin sets can split a request in two.
func TestUnwritableRequests(t *testing.T) {
	s := say(t, fine)
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	for _, c := range []Call{
		{Path: "/a b"}, {Path: "/\r\nx: y"}, {Path: "a"}, {Path: "/", Query: "a#b"}, {Path: "/", Query: "a\n"},
		{Method: "GET /"}, {Method: "G\r\n"}, {Method: "CONNECT", Path: "*"}, {Authority: "a b"}, {Authority: "a\r\nx: y"}, {Authority: "u@h"},
	} {
		x := newExchange("")
		c.Upstream = u
		_, _, err := do(f, &c, x)
		require.Equal(t, RequestInvalid, kindOf(err), "%+v", c)
		x.Release()
	}
	for _, line := range []string{"a: b\r\nx: y", "a: b\x00", "a\r\n: b", "a b: c", ": c"} {
		x := newExchange("")
		name, value, _ := strings.Cut(line, ": ")
		x.Header.Add(name, value)
		_, _, err := do(f, &Call{Upstream: u, Header: &x.Header}, x)
		require.Equal(t, RequestInvalid, kindOf(err), "%q", line)
		x.Release()
	}
	require.Zero(t, s.requests.Load())
}

func TestKeptConnectionsAreReused(t *testing.T) {
	s := say(t, fine)
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	for i := range 50 {
		x := newExchange("")
		c := Call{Upstream: u}
		_, body, err := do(f, &c, x)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
		require.Equal(t, i > 0, c.Reused)
		require.Positive(t, c.Latency)
		x.Release()
	}
	require.EqualValues(t, 1, s.connections.Load())
}

func TestCertificatesAreVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusting, strange := newForwarder(t, Options{Roots: roots}), newForwarder(t, Options{})
	at := target(t, server.URL)
	for name, tt := range map[string]struct {
		f      *Forwarder
		change func(*Target)
		want   Kind
	}{
		"right":         {trusting, func(*Target) {}, ""},
		"other name":    {trusting, func(t *Target) { t.ServerName = "example.com" }, ""},
		"wrong name":    {trusting, func(t *Target) { t.ServerName = "wrong.invalid" }, TLS},
		"unknown CA":    {strange, func(*Target) {}, TLS},
		"insecure":      {strange, func(t *Target) { t.Insecure = true }, ""},
		"plain to TLS":  {trusting, func(t *Target) { t.Scheme = "http" }, ""},
		"other schemes": {trusting, func(t *Target) { t.Scheme = "ftp" }, RequestInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			target := at
			tt.change(&target)
			u, err := tt.f.Upstream(target)
			if err == nil {
				var status int
				status, _, err = get(tt.f, u)
				if name == "plain to TLS" {
					require.Equal(t, 400, status)
				}
			}
			require.Equal(t, tt.want, kindOf(err), "%v", err)
		})
	}
}

func TestForwardedFields(t *testing.T) {
	got := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	defer server.Close()
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, server.URL)
	for _, tt := range []struct {
		authority string
		header    []string
		want      map[string]string
	}{
		{"api.example.com", nil, map[string]string{"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Port": "443",
			"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com"}},
		{"[::1]:8443", []string{"x-forwarded-for: 198.51.100.1", "x-forwarded-proto: http", "x-amzn-trace-id: Root=1-a-b"},
			map[string]string{"X-Forwarded-For": "198.51.100.1, 192.0.2.7", "X-Forwarded-Port": "8443",
				"X-Forwarded-Proto": "https", "X-Forwarded-Host": "[::1]:8443", "X-Amzn-Trace-Id": "Root=1-a-b"}},
	} {
		x := newExchange("")
		x.Authority, x.Remote = tt.authority, netip.MustParseAddrPort("192.0.2.7:1234")
		for _, line := range tt.header {
			name, value, _ := strings.Cut(line, ": ")
			x.Header.Add(name, value)
		}
		_, _, err := do(f, &Call{Upstream: u, Forwarded: true, Header: &x.Header}, x)
		require.NoError(t, err)
		h := <-got
		for name, value := range tt.want {
			require.Equal(t, []string{value}, h[name], name)
		}
		require.Regexp(t, `^Root=1-([0-9a-f]{8}-[0-9a-f]{24}|a-b)$`, h.Get("X-Amzn-Trace-Id"))
		require.Equal(t, len(tt.header), x.Header.Len(), "the exchange's own header is as it was")
		x.Release()
	}
}

func TestHammer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Query().Get("close") != "" {
			w.Header().Set("Connection", "close")
		}
		w.Write(append([]byte(r.URL.Path+" "), bytes.Repeat(body, 3)...))
	}))
	defer server.Close()
	f := newForwarder(t, Options{MaxConns: 4, MaxIdle: 2})
	u := upstreamOf(t, f, server.URL)
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() { // owned by this test, which waits
			for i := range 60 {
				body := strings.Repeat(string(rune('a'+g)), (i*i*37)%30_000)
				x := newExchange(body)
				if i%3 == 0 {
					x.BodyLength = -1
					x.Body = strings.NewReader(body)
				}
				c := Call{Upstream: u, Method: "POST", Path: fmt.Sprintf("/%d-%d", g, i)}
				if i%7 == 0 {
					c.Query = "close=1"
				}
				_, got, err := do(f, &c, x)
				if err != nil || got != c.Path+" "+strings.Repeat(body, 3) {
					t.Errorf("%s: %.30q %v", c.Path, got, err)
				}
				x.Release()
			}
		})
	}
	wg.Wait()
	f.Connections(func(_ string, open, idle int) {
		require.LessOrEqual(t, open, 4)
		require.Equal(t, open, idle)
	})
}
