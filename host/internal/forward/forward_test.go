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

// Every answer here is followed by a canary on the same upstream: nothing of the answer may
// reach it, and where the connection is suspect it must not even be used.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", smallBody+100)
	for _, tt := range []struct {
		name, method, answer string
		want                 Kind // of Do or of the stream
		status               int
		body                 string
		kept                 bool
	}{
		{"plain", "GET", fine, "", 200, "ok", true},
		{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, "", true},
		{"not modified with a length", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "", 304, "", true},
		{"head", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", "", 200, "", true},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "", 200, "ok", true},
		{"chunked with trailers", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", "", 200, "ok", true},
		{"connection close", "GET", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", "", 200, "ok", false},
		{"http/1.0", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "", 200, "ok", false},
		{"early hints first", "GET", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + fine, "", 200, "ok", true},
		{"continue first", "GET", "HTTP/1.1 100 Continue\r\n\r\n" + fine, "", 200, "ok", true},
		{"one byte too many", "GET", fine + "x", "", 200, "ok", false},
		{"a second answer", "GET", fine + fine, "", 200, "ok", false},
		{"body to a HEAD", "HEAD", fine, "", 200, "", false},
		{"junk after chunks", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1", "", 200, "", false},
		{"long with a byte too many", "GET", fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s!", len(long), long), "", 200, long, false},
		{"switching protocols", "GET", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Protocol, 0, "", false},
		{"endless continues", "GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 40), Protocol, 0, "", false},
		{"both framings", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Protocol, 0, "", false},
		{"two lengths", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", Protocol, 0, "", false},
		{"length of plus two", "GET", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", Protocol, 0, "", false},
		{"gzip coding", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Protocol, 0, "", false},
		{"fold", "GET", "HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n", Protocol, 0, "", false},
		{"bare LF", "GET", "HTTP/1.1 200 OK\ncontent-length: 0\n\n", Protocol, 0, "", false},
		{"NUL in a value", "GET", "HTTP/1.1 200 OK\r\na: b\x00\r\ncontent-length: 0\r\n\r\n", Protocol, 0, "", false},
		{"blank before the colon", "GET", "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n", Protocol, 0, "", false},
		{"status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", Protocol, 0, "", false},
		{"not HTTP", "GET", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Protocol, 0, "", false},
		{"too many fields", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 300) + "\r\n", Protocol, 0, "", false},
		{"too large a head", "GET", "HTTP/1.1 200 OK\r\na: " + strings.Repeat("b", 70<<10) + "\r\n\r\n", Protocol, 0, "", false},
		{"odd chunk size", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", Protocol, 0, "", false},
		{"chunk longer than its size", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\noko\r\n0\r\n\r\n", Protocol, 0, "", false},
		{"framing in the trailers", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\n\r\n", Protocol, 0, "", false},
		{"length with 204", "GET", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok", Protocol, 0, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := script(t, func(n int64, _ *http.Request, c net.Conn) bool {
				answer := tt.answer
				if n > 1 {
					answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ncanary"
				}
				_, err := io.WriteString(c, answer)
				return err == nil
			})
			f := newForwarder(t, Options{})
			u := upstreamOf(t, f, s.url)
			x := newExchange("")
			defer x.Release()
			status, body, err := do(f, &Call{Upstream: u, Method: tt.method}, x)
			require.Equal(t, tt.want, kindOf(err), "%v", err)
			require.Equal(t, tt.status, status)
			require.Equal(t, tt.body, body)
			_, body, err = get(f, u)
			require.NoError(t, err)
			require.Equal(t, "canary", body)
			require.Equal(t, tt.kept, s.connections.Load() == 1, "%d connections", s.connections.Load())
			require.EqualValues(t, 2, s.requests.Load(), "nothing was repeated")
		})
	}
}

// Bytes that nobody asked for, sent after an answer was taken, poison no later one.
func TestUnaskedBytesBetweenAnswers(t *testing.T) {
	sent := make(chan struct{})
	more := make(chan struct{})
	s := script(t, func(n int64, _ *http.Request, c net.Conn) bool {
		io.WriteString(c, fine)
		if n == 1 {
			<-more
			io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
			close(sent)
		}
		return true
	})
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	_, _, err := get(f, u)
	require.NoError(t, err)
	close(more)
	<-sent
	for range 3 {
		_, body, err := get(f, u)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
	}
	require.EqualValues(t, 2, s.connections.Load())
}

// A body cut short breaks what the client gets, whatever its framing.
func TestShortBodies(t *testing.T) {
	long := strings.Repeat("x", 50_000)
	for name, tt := range map[string]struct {
		answer string
		inDo   bool
	}{
		"small":        {"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345", true},
		"long":         {"HTTP/1.1 200 OK\r\ncontent-length: 50001\r\n\r\n" + long, false},
		"chunks":       {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc350\r\n" + long + "\r\n", false},
		"in a chunk":   {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n" + long, false},
		"no last CRLF": {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nc350\r\n" + long + "\r\n0\r\n", false},
		"in the head":  {"HTTP/1.1 200 OK\r\ncontent-le", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
				io.WriteString(c, tt.answer)
				return false
			})
			f := newForwarder(t, Options{})
			x := newExchange("")
			defer x.Release()
			err := f.Do(x, &Call{Upstream: upstreamOf(t, f, s.url), Method: "GET", Path: "/"})
			require.Equal(t, tt.inDo, err != nil)
			if err == nil {
				_, err = io.ReadAll(x.Response.Stream)
				require.NoError(t, x.Response.Stream.Close())
				_, again := x.Response.Stream.Read(make([]byte, 1))
				require.Error(t, again)
				require.NotEqual(t, io.EOF, again)
			}
			require.Equal(t, Reset, kindOf(err), "%v", err)
			require.EqualValues(t, 1, s.requests.Load())
		})
	}
}

func TestTrailersAndInformational(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "X-Sum")
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", r.Trailer.Get("X-Ask")+"!")
	}))
	defer server.Close()
	f := newForwarder(t, Options{})
	x := newExchange("")
	defer x.Release()
	x.Body, x.BodyLength = io.MultiReader(strings.NewReader("body"), eofThen(func() { x.Trailer.Add("x-ask", "7") })), -1
	x.Header.Add("trailer", "x-ask")
	var hints []string
	x.Informational = func(status int, h *exchange.Header) error {
		hints = append(hints, fmt.Sprintf("%d %s", status, h.Get("link")))
		return nil
	}
	_, body, err := do(f, &Call{Upstream: upstreamOf(t, f, server.URL), Method: "POST", Header: &x.Header}, x)
	require.NoError(t, err)
	require.Equal(t, "body", body)
	require.Equal(t, []string{"103 </a>"}, hints)
	require.Contains(t, string(x.Response.Trailer.Get("x-sum")), "!")
}

type eofThen func()

func (f eofThen) Read([]byte) (int, error) { f(); return 0, io.EOF }

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
