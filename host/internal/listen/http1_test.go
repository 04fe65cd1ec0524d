package listen

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// reply answers every request with a fresh copy of what f fills.
func reply(f func(r *exchange.Response)) exchange.Handler {
	return handlerFunc(func(x *exchange.Exchange) { f(&x.Response) })
}

func TestKeepAliveAndPipelining(t *testing.T) {
	c := start(t, handlerFunc(echo), nil).dial()
	c.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	for i, want := range []string{"GET a /1\n\n", "POST a /2\n\nabc", "GET a /3?q\n\n"} {
		r, body := c.receive("GET")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, want, body)
		require.Equal(t, i == 2, r.Close)
		require.NotEmpty(t, r.Header.Get("Date"))
	}
	c.ended()
}

// A finished answer is not held back while a part of the next request is there.
func TestAnswerGoesOutBeforeTheNextRequestIsWhole(t *testing.T) {
	c := start(t, handlerFunc(echo), nil).dial()
	c.send(get + "GET /next HTT")
	_, body := c.receive("GET")
	require.Equal(t, "GET a /\n\n", body)
	c.send("P/1.1\r\nHost: a\r\n\r\n")
	_, body = c.receive("GET")
	require.Equal(t, "GET a /next\n\n", body)
}

func TestFraming(t *testing.T) {
	text := func(r *exchange.Response) { r.Status = 200; r.SetBody([]byte("hello")) }
	streamed := func(length int64, parts ...string) func(r *exchange.Response) {
		return func(r *exchange.Response) {
			r.Status, r.Length = 200, length
			r.Stream = io.NopCloser(iotest.OneByteReader(strings.NewReader(strings.Join(parts, ""))))
		}
	}
	for _, k := range []struct {
		name, request string
		answer        func(r *exchange.Response)
		want          string // head without date, and body
		closes        bool
	}{
		{"whole", get, text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false},
		{"empty", get, func(r *exchange.Response) { r.Status = 200 }, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
		{"unknown status", get, func(r *exchange.Response) { r.Status = 299 }, "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n", false},
		{"HEAD of whole", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false},
		{"HEAD with length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", func(r *exchange.Response) { r.Status, r.Length = 200, 99 }, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", false},
		{"HEAD without length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", func(r *exchange.Response) { r.Status, r.Length = 200, -1 }, "HTTP/1.1 200 OK\r\n\r\n", false},
		{"HEAD of stream", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", streamed(7, "content"), "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", false},
		{"204", get, func(r *exchange.Response) { r.Status = 204; r.Body = []byte("x") }, "HTTP/1.1 204 No Content\r\n\r\n", false},
		{"304", get, func(r *exchange.Response) { r.Status, r.Length = 304, 7 }, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", false},
		{"304 without length", get, func(r *exchange.Response) { r.Status = 304 }, "HTTP/1.1 304 Not Modified\r\n\r\n", false},
		{"stream with length", get, streamed(5, "hello"), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false},
		{"empty stream with length", get, streamed(0), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false},
		{"chunked", get, streamed(-1, "ab"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0001\r\na\r\n0001\r\nb\r\n0\r\n\r\n", false},
		{"empty chunked", get, streamed(-1), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"trailers", get, func(r *exchange.Response) {
			streamed(-1, "a")(r)
			r.Trailer.Add("x-sum", "1")
			r.Trailer.Add("content-length", "5")
		}, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0001\r\na\r\n0\r\nx-sum: 1\r\n\r\n", false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", true},
		{"HTTP/1.0 kept", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", text, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello", false},
		{"HTTP/1.0 without length", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", streamed(-1, "ab"), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab", true},
		{"handler closes", get, func(r *exchange.Response) { text(r); r.CloseConnection = true }, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", true},
		{"framing of handler is left out", get, func(r *exchange.Response) {
			for _, name := range []string{"content-length", "Transfer-Encoding", "connection", "keep-alive", "upgrade", "trailer", "te"} {
				r.Header.Add(name, "7")
			}
			text(r)
		}, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := start(t, reply(func(r *exchange.Response) { r.Header.Add("date", "D"); k.answer(r) }), nil).dial()
			c.send("%s", k.request)
			if !k.closes {
				c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			}
			all, err := io.ReadAll(c)
			require.NoError(t, err)
			first := strings.ReplaceAll(string(all), "date: D\r\n", "")
			if !k.closes {
				at := strings.LastIndex(first, "HTTP/1.1 ")
				require.Positive(t, at, first)
				first = first[:at]
			}
			require.Equal(t, k.want, first)
		})
	}
}

func TestLargeAnswer(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 200_000)
	c := start(t, reply(func(r *exchange.Response) { r.Status = 200; r.SetBody(large) }), nil).dial()
	c.send(get)
	_, body := c.receive("GET")
	require.True(t, body == string(large))
}

// ready is a stream whose first bytes are there.
type ready struct{ *strings.Reader }

func (r ready) Buffered() int { return r.Len() }
func (ready) Close() error    { return nil }

// What is there goes out with the head, in one write.
func TestReadyStreamGoesOutWithItsHead(t *testing.T) {
	for _, length := range []int64{-1, 5} {
		c := pipe(t, false, reply(func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, length, ready{strings.NewReader("hello")}
		}))
		_, err := io.WriteString(c, get)
		require.NoError(t, err)
		buf := make([]byte, 1000)
		n, err := c.Read(buf) // a pipe gives one write at a time
		require.NoError(t, err)
		require.Contains(t, string(buf[:n]), "\r\n\r\n")
		require.Contains(t, string(buf[:n]), "hello")
		c.Close()
	}
}

func TestLargeStream(t *testing.T) {
	large := strings.Repeat("0123456789", 200_000)
	for _, length := range []int64{-1, int64(len(large))} {
		c := start(t, reply(func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, length, io.NopCloser(strings.NewReader(large))
		}), nil).dial()
		c.send(get)
		_, body := c.receive("GET")
		require.True(t, body == large)
	}
}

func TestStreamIsFlushedAtEachRead(t *testing.T) {
	r, w := io.Pipe()
	c := start(t, reply(func(resp *exchange.Response) { resp.Status, resp.Length, resp.Stream = 200, -1, r }), nil).dial()
	c.send(get)
	answer, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err) // the head is there although no byte of the body is
	buf := make([]byte, 10)
	for _, event := range []string{"one", "two"} {
		_, err = io.WriteString(w, event)
		require.NoError(t, err)
		n, err := answer.Body.Read(buf)
		require.NoError(t, err)
		require.Equal(t, event, string(buf[:n]))
	}
	w.Close()
	_, err = answer.Body.Read(buf)
	require.Equal(t, io.EOF, err)
}

// What cannot be sent whole ends in a way that no client takes for a whole answer.
func TestTruncatedStream(t *testing.T) {
	for name, k := range map[string]struct {
		request string
		length  int64
		stream  io.Reader
	}{
		"short":           {get, 10, strings.NewReader("hello")},
		"long":            {get, 3, strings.NewReader("hello")},
		"broken":          {get, 10, io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(errors.New("gone")))},
		"broken chunked":  {get, -1, io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(errors.New("gone")))},
		"broken HTTP/1.0": {"GET / HTTP/1.0\r\n\r\n", -1, io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(errors.New("gone")))},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, reply(func(r *exchange.Response) {
				r.Status, r.Length, r.Stream = 200, k.length, io.NopCloser(k.stream)
			}), nil).dial()
			c.send("%s", k.request)
			answer, err := http.ReadResponse(c.br, nil)
			if err == nil {
				_, err = io.ReadAll(answer.Body)
			}
			require.Error(t, err)
		})
	}
}

func TestExpectContinue(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Target == "/read" {
			echo(x)
			return
		}
		x.Response.Status = 403
	}), nil)
	c := g.dial()
	c.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	line, err := c.br.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	c.br.ReadString('\n')
	c.send("hi")
	_, body := c.receive("POST")
	require.Equal(t, "POST a /read\n\nhi", body)

	// Nobody wants the body: no 100, and the connection ends, as the client may or may not
	// send the body now.
	c.send("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	r, _ := c.receive("POST")
	require.Equal(t, 403, r.StatusCode)
	require.True(t, r.Close)
	c.ended()
}

func TestInformational(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		x.Response.Status = 200
		if x.Informational == nil {
			return
		}
		var h exchange.Header
		h.Add("link", "</a.css>")
		if x.Informational(103, &h) != nil || x.Informational(100, nil) != nil || x.Informational(101, nil) == nil || x.Informational(200, nil) == nil {
			x.Response.Status = 500
		}
		h.Add("x", "a\r\nb")
		if x.Informational(103, &h) == nil {
			x.Response.Status = 500
		}
	}), nil)
	c := g.dial()
	c.send(get)
	r, _ := c.receive("GET")
	require.Equal(t, 103, r.StatusCode)
	require.Equal(t, "</a.css>", r.Header.Get("Link"))
	r, _ = c.receive("GET")
	require.Equal(t, 200, r.StatusCode)
	c.send("GET / HTTP/1.0\r\n\r\n")
	r, _ = c.receive("GET")
	require.Equal(t, 200, r.StatusCode)
}

func TestUnreadBody(t *testing.T) {
	g := start(t, reply(func(r *exchange.Response) { r.Status = 200 }), func(o *Options) { o.Limits.Drain = 1000 })
	c := g.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n%s", strings.Repeat("x", 1000))
	r, _ := c.receive("POST")
	require.False(t, r.Close)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	r, _ = c.receive("POST")
	require.False(t, r.Close)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n%s%s", strings.Repeat("x", 1001), get)
	r, _ = c.receive("POST")
	require.True(t, r.Close)
	c.ended()

	c = g.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%s\r\n0\r\n\r\n%s", strings.Repeat("x", 2000), get)
	c.receive("POST")
	c.ended()
}

func TestBodyTooLarge(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Limits.BodyBytes = 10 })
	for name, raw := range map[string]string{
		"announced": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
		"chunked":   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial()
			c.send("%s", raw)
			r, body := c.receive("POST")
			require.Equal(t, 413, r.StatusCode)
			require.Contains(t, body, `{"message":`)
			require.True(t, r.Close)
			c.ended()
			require.Contains(t, g.reasons(), ReasonBodyLarge)
		})
	}
	c := g.dial()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
	r, _ := c.receive("POST")
	require.Equal(t, 200, r.StatusCode)
}

func TestPanicCostsItsRequestOnly(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Target == "/panic" {
			panic("handler")
		}
		echo(x)
	}), nil)
	c := g.dial()
	c.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
	r, body := c.receive("GET")
	require.Equal(t, 500, r.StatusCode)
	require.NotContains(t, body, "handler")
	c.ended()
	c = g.dial()
	c.send(get)
	r, _ = c.receive("GET")
	require.Equal(t, 200, r.StatusCode)
}

// Nothing that a handler, plugin or upstream sets can split an answer (CWE-113).
func TestResponseSplitting(t *testing.T) {
	for _, field := range [][2]string{{"x", "a\r\nset-cookie: b"}, {"x", "a\nb"}, {"x", "a\x00"}, {"x\r\ny", "a"}, {"x y", "a"}, {"", "a"}, {"x:", "a"}} {
		c := start(t, reply(func(r *exchange.Response) { r.Status = 200; r.Header.Add(field[0], field[1]) }), nil).dial()
		c.send(get)
		r, _ := c.receive("GET")
		require.Equal(t, 502, r.StatusCode, "%q", field)
		require.Empty(t, r.Header.Get("Set-Cookie"))
	}
}

func TestNobodyAnswered(t *testing.T) {
	c := start(t, handlerFunc(func(*exchange.Exchange) {}), nil).dial()
	c.send(get)
	r, body := c.receive("GET")
	require.Equal(t, 500, r.StatusCode)
	require.Equal(t, `{"message":"Internal server error"}`, body)
}

func TestExchangeFields(t *testing.T) {
	ids := map[string]bool{}
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		ids[string(x.ID[:])] = true
		x.Response.Status = 200
		ok := x.Conn.TLSVersion == "TLSv1.3" && x.Conn.ServerName == "localhost" && strings.HasPrefix(x.Conn.CipherSuite, "TLS_") &&
			x.Remote.Addr().IsLoopback() && x.Remote.Port() != 0 && !x.Start.IsZero() && x.Context.Err() == nil && x.Seed != 0
		if !ok {
			x.Response.Status = 500
		}
		x.Response.SetBody([]byte(x.Conn.Protocol))
	}), nil)
	c := g.dial()
	for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
		c.send("GET / %s\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", version)
		r, body := c.receive("GET")
		require.Equal(t, 200, r.StatusCode)
		require.Equal(t, version, body)
	}
	require.Len(t, ids, 2)
	for id := range ids {
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	}
}
