package forward

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

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

// The same within TLS, where the bytes wait in a record of their own behind the answer.
func TestUnaskedRecords(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		// Two writes are two records; corked below TLS they come in one segment.
		rw.WriteString(fine)
		rw.Flush()
		io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
		c.(*tls.Conn).NetConn().(*corked).release()
		io.Copy(io.Discard, c)
	}))
	server.Listener = corkingListener{server.Listener}
	server.StartTLS()
	defer server.Close()
	f := newForwarder(t, Options{})
	at := target(t, server.URL)
	at.Insecure = true
	u, err := f.Upstream(at)
	require.NoError(t, err)
	for range 3 {
		_, body, err := get(f, u)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
	}
}

type corkingListener struct{ net.Listener }

func (l corkingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &corked{Conn: c}, err
}

// corked holds back what is written after the handshake's few flights, until release.
type corked struct {
	net.Conn
	held []byte
}

func (c *corked) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte{23}) && len(b) < 120 && len(b) > 50 {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *corked) release() { c.Conn.Write(c.held) }

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

// What comes together with the head of a stream is passed on at once, wherever a chunk is cut.
func TestStreamsArePassedOnAtOnce(t *testing.T) {
	for _, first := range []string{"", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", "5\r\nhello\r\n", "5\r\nhello\r\n7"} {
		leave := make(chan struct{})
		s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
			io.WriteString(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"+first)
			<-leave
			return false
		})
		f := newForwarder(t, Options{})
		x := newExchange("")
		require.NoError(t, f.Do(x, &Call{Upstream: upstreamOf(t, f, s.url), Method: "GET", Path: "/", Timeout: 10 * time.Second}), "%q", first)
		require.NotNil(t, x.Response.Stream)
		if _, data, ok := strings.Cut(first, "\n"); ok {
			data, _, _ = strings.Cut(data, "\r")
			got := make([]byte, len(data))
			_, err := io.ReadFull(x.Response.Stream, got)
			require.NoError(t, err)
			require.Equal(t, data, string(got))
		}
		x.Response.Stream.Close()
		x.Release()
		close(leave)
	}
}

// Informational answers while a body is sent do not end it.
func TestInformationalDuringUpload(t *testing.T) {
	sent := strings.Repeat("x", 200_000)
	seen := make(chan struct{}) // once for each request
	s := script(t, func(_ int64, r *http.Request, c net.Conn) bool {
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 103 Ear")
		<-seen
		body, err := io.ReadAll(r.Body)
		io.WriteString(c, "ly Hints\r\n\r\n")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n%06d", len(body))
		return err == nil
	})
	f := newForwarder(t, Options{})
	for _, length := range []int64{int64(len(sent)), -1} {
		x := newExchange("")
		x.Body, x.BodyLength = io.MultiReader(strings.NewReader(sent[:100]), eofThen(func() { seen <- struct{}{} }), strings.NewReader(sent[100:])), length
		hints := 0
		x.Informational = func(status int, _ *exchange.Header) error { hints++; return nil }
		c := Call{Upstream: upstreamOf(t, f, s.url), Method: "POST"}
		_, body, err := do(f, &c, x)
		require.NoError(t, err)
		require.Equal(t, "200000", body)
		require.Equal(t, 2, hints)
		require.Equal(t, length < 0, c.Reused, "the connection is kept")
		x.Release()
	}
}

type eofThen func()

func (f eofThen) Read([]byte) (int, error) { f(); return 0, io.EOF }
