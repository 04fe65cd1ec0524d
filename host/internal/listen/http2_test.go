package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// overHTTP2 is a client that speaks nothing else.
func (g *gate) overHTTP2() *http.Client {
	transport := &http2.Transport{TLSClientConfig: g.client}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (g *gate) get2(path string) (*http.Response, string, error) {
	r, err := g.overHTTP2().Get("https://" + g.addr + path)
	if err != nil {
		return nil, "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return r, string(body), err
}

func TestHTTP2Request(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	body := io.MultiReader(strings.NewReader("hello")) // no length is known
	r, err := http.NewRequest("POST", "https://"+g.addr+"/a%2fb?c=d|e", body)
	require.NoError(t, err)
	r.Header["X_Forwarded_For"] = []string{"1"}
	r.Header.Set("X-Real-Ip", "1")
	r.Header.Set("Te", "trailers")
	r.Header.Set("User-Agent", "u")
	r.Header.Set("Accept-Encoding", "x") // its client sends fields in any order
	r.Trailer = http.Header{"X-Sum": {"1"}}
	answer, err := g.overHTTP2().Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.ElementsMatch(t, strings.Split("POST "+g.addr+" /a%2fb?c=d|e\naccept-encoding: x\nuser-agent: u\n\nhello\nx-sum: 1", "\n"),
		strings.Split(string(got), "\n"))
	require.Equal(t, 2, answer.ProtoMajor)
}

func TestHTTP2Answers(t *testing.T) {
	for _, k := range []struct {
		name   string
		answer func(r *exchange.Response)
		want   string // status, length, body, trailer
	}{
		{"whole", func(r *exchange.Response) { r.Status = 200; r.SetBody([]byte("hello")) }, "200 5 hello "},
		{"empty", func(r *exchange.Response) { r.Status = 200 }, "200 0  "},
		{"204", func(r *exchange.Response) { r.Status = 204 }, "204 0  "},
		{"304", func(r *exchange.Response) { r.Status = 304 }, "304 0  "},
		{"stream", func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, -1, io.NopCloser(strings.NewReader("hello"))
			r.Trailer.Add("x-sum", "1")
		}, "200 -1 hello 1"},
		{"stream with length", func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, 5, io.NopCloser(strings.NewReader("hello"))
		}, "200 5 hello "},
		{"short stream", func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, 6, io.NopCloser(strings.NewReader("hello"))
		}, "error"},
		{"long stream", func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, 4, io.NopCloser(strings.NewReader("hello"))
		}, "error"},
		{"nobody answered", func(r *exchange.Response) {}, `500 35 {"message":"Internal server error"} `},
		{"splitting", func(r *exchange.Response) { r.Status = 200; r.Header.Add("x", "a\r\nb") }, `502 35 {"message":"Internal server error"} `},
		{"connection-specific", func(r *exchange.Response) {
			r.Status = 200
			for _, name := range []string{"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"} {
				r.Header.Add(name, "9")
			}
		}, "200 0  "},
		{"panic", func(r *exchange.Response) { panic("handler") }, `500 35 {"message":"Internal server error"} `},
	} {
		t.Run(k.name, func(t *testing.T) {
			g := start(t, reply(k.answer), nil)
			r, body, err := g.get2("/")
			if k.want == "error" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			got := strings.Join([]string{r.Status[:3], itoa(r.ContentLength), body, r.Trailer.Get("X-Sum")}, " ")
			require.Equal(t, k.want, got)
		})
	}
}

func itoa(n int64) string {
	if n < 0 {
		return "-1"
	}
	return string(bytes.TrimLeft([]byte{'0' + byte(n/10), '0' + byte(n%10)}, "0")) + map[bool]string{true: "0"}[n == 0]
}

func TestHTTP2StreamIsFlushedAtEachRead(t *testing.T) {
	pr, pw := io.Pipe()
	g := start(t, reply(func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, pr }), nil)
	r, err := g.overHTTP2().Get("https://" + g.addr + "/")
	require.NoError(t, err)
	defer r.Body.Close()
	buf := make([]byte, 10)
	for _, event := range []string{"one", "two"} {
		_, err = io.WriteString(pw, event)
		require.NoError(t, err)
		n, err := r.Body.Read(buf)
		require.NoError(t, err)
		require.Equal(t, event, string(buf[:n]))
	}
	pw.Close()
	_, err = r.Body.Read(buf)
	require.Equal(t, io.EOF, err)
}

func TestHTTP2ClientGoneCancelsContext(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		close(entered)
		<-x.Context.Done()
		close(left)
		x.Response.Status = 200
	}), nil)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+g.addr+"/", nil)
	require.NoError(t, err)
	failed := make(chan error, 1)
	client := g.overHTTP2()
	go func() {
		_, err := client.Do(r)
		failed <- err
	}()
	<-entered
	cancel()
	require.Error(t, <-failed)
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("handler works for nobody")
	}
}

func TestHTTP2Shutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		close(entered)
		<-leave
		echo(x)
	}), nil)
	body := make(chan string, 1)
	go func() {
		_, text, err := g.get2("/slow")
		if err != nil {
			text = err.Error()
		}
		body <- text
	}()
	<-entered
	down := make(chan error, 1)
	go func() { down <- g.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return g.draining.Load() }, patience, time.Millisecond)
	close(leave)
	require.Contains(t, <-body, "/slow")
	select {
	case err := <-down:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("Shutdown does not return")
	}
}

// frames is a client that writes HTTP/2 frames of its own.
type frames struct {
	*http2.Framer
	t   testing.TB
	enc *hpack.Encoder
	buf bytes.Buffer
}

func (g *gate) frames() *frames {
	config := g.client.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", g.addr, config)
	require.NoError(g.t, err)
	c := g.wrap(conn)
	c.send(http2.ClientPreface)
	f := &frames{Framer: http2.NewFramer(conn, conn), t: g.t}
	f.enc = hpack.NewEncoder(&f.buf)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(g.t, f.WriteSettings())
	return f
}

// request sends a head of "name value" pairs; the usual pseudo fields come first unless
// the first pair is one.
func (f *frames) request(id uint32, end bool, fields ...string) {
	f.t.Helper()
	f.buf.Reset()
	if len(fields) == 0 || fields[0][0] != ':' {
		fields = append([]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"}, fields...)
	}
	for i := 0; i < len(fields); i += 2 {
		require.NoError(f.t, f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	require.NoError(f.t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.buf.Bytes(), EndStream: end, EndHeaders: true}))
}

// outcome is the status of the answer, or what ended the stream.
func (f *frames) outcome() string {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return "GOAWAY " + frame.ErrCode.String()
			}
		}
	}
}

// TestHTTP2Strict: nothing malformed reaches the handler.
func TestHTTP2Strict(t *testing.T) {
	var seen recorder
	g := start(t, &seen, nil)
	long := strings.Repeat("x", 10241)
	for _, k := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"good", nil, "200"},
		{"host equal to authority", []string{"host", "a"}, "200"},
		{"asterisk", []string{":method", "OPTIONS", ":scheme", "https", ":authority", "a", ":path", "*"}, "200"},
		{"obs-text", []string{"x", "\x80\xff"}, "200"},
		{"host differs", []string{"host", "b"}, "PROTOCOL_ERROR"},
		{"two hosts", []string{"host", "a", "host", "a"}, "PROTOCOL_ERROR"},
		{"no authority", []string{":method", "GET", ":scheme", "https", ":path", "/"}, "PROTOCOL_ERROR"},
		{"userinfo", []string{":method", "GET", ":scheme", "https", ":authority", "u@a", ":path", "/"}, "PROTOCOL_ERROR"},
		{"slash in authority", []string{":method", "GET", ":scheme", "https", ":authority", "a/b", ":path", "/"}, "PROTOCOL_ERROR"},
		{"comma in authority", []string{":method", "GET", ":scheme", "https", ":authority", "a,b", ":path", "/"}, "PROTOCOL_ERROR"},
		{"fragment", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a#b"}, "PROTOCOL_ERROR"},
		{"backslash", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a\\b"}, "PROTOCOL_ERROR"},
		{"non-ASCII path", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/\xc3\xa4"}, "PROTOCOL_ERROR"},
		{"blank in path", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a b"}, "PROTOCOL_ERROR"},
		{"long path", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/" + long}, "414"},
		{"rootless path", []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "a"}, "PROTOCOL_ERROR"},
		{"TRACE", []string{":method", "TRACE", ":scheme", "https", ":authority", "a", ":path", "/"}, "501"},
		{"CONNECT", []string{":method", "CONNECT", ":authority", "a:443"}, "501"},
		{"bad method", []string{":method", "G(T", ":scheme", "https", ":authority", "a", ":path", "/"}, "PROTOCOL_ERROR"},
		{"blank before value", []string{"x", " a"}, "PROTOCOL_ERROR"},
		{"tab after value", []string{"x", "a\t"}, "PROTOCOL_ERROR"},
		{"control byte", []string{"x", "a\x01b"}, "PROTOCOL_ERROR"},
		{"LF in value", []string{"x", "a\nb"}, "PROTOCOL_ERROR"},
		{"colon in name", []string{"x:", "a"}, "PROTOCOL_ERROR"},
		{"upper-case name", []string{"X", "a"}, "PROTOCOL_ERROR"},
		{"connection", []string{"connection", "close"}, "PROTOCOL_ERROR"},
		{"transfer-encoding", []string{"transfer-encoding", "chunked"}, "PROTOCOL_ERROR"},
		{"upgrade", []string{"upgrade", "h2c"}, "PROTOCOL_ERROR"},
		{"te", []string{"te", "gzip"}, "PROTOCOL_ERROR"},
		{"expectation", []string{"expect", "x"}, "417"},
		{"two lengths", []string{"content-length", "0", "content-length", "0"}, "PROTOCOL_ERROR"},
		{"signed length", []string{"content-length", "+0"}, "PROTOCOL_ERROR"},
		{"length without DATA", []string{"content-length", "5"}, "PROTOCOL_ERROR"},
	} {
		t.Run(k.name, func(t *testing.T) {
			seen.take()
			f := g.frames()
			f.request(1, true, k.fields...)
			got := f.outcome()
			require.Equal(t, k.want, got)
			require.Len(t, seen.take(), map[bool]int{true: 1}[k.want == "200"])
		})
	}
}

func TestHTTP2LengthAgainstData(t *testing.T) {
	var seen recorder
	g := start(t, &seen, nil)
	for length, data := range map[string]string{"0": "GET /", "1": "ab", "3": "ab"} {
		f := g.frames()
		f.request(1, false, "content-length", length)
		require.NoError(t, f.WriteData(1, true, []byte(data)))
		require.NotEqual(t, "200", f.outcome(), length)
		for _, text := range seen.take() {
			require.Contains(t, text, `{"message":`, "a body that is not what was announced")
		}
	}
	f := g.frames()
	f.request(1, false, "content-length", "2")
	require.NoError(t, f.WriteData(1, true, []byte("ab")))
	require.Equal(t, "200", f.outcome())
}

func TestHTTP2Limits(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Limits.Fields, o.Limits.BodyBytes = 10, 10 })
	fields := []string{}
	for range 11 {
		fields = append(fields, "x", "y")
	}
	f := g.frames()
	f.request(1, true, fields...)
	require.Equal(t, "431", f.outcome())
	f.request(3, false)
	require.NoError(t, f.WriteData(3, true, []byte("01234567890")))
	require.Equal(t, "413", f.outcome())
	require.Contains(t, g.reasons(), ReasonBodyLarge)
}

func TestHTTP2SlowBody(t *testing.T) {
	g := start(t, handlerFunc(echo), brief(func(t *Timeouts, d time.Duration) { t.Body = d }))
	f := g.frames()
	f.request(1, false)
	require.Equal(t, "408", f.outcome())
	require.Equal(t, []string{ReasonBodySlow}, g.reasons())
}

// A stream whose window stays shut is given up, and its answer's stream closed.
func TestHTTP2SlowReaderIsCutOff(t *testing.T) {
	closed := make(chan struct{})
	g := start(t, reply(func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, &endless{closed} }),
		brief(func(t *Timeouts, d time.Duration) { t.Write = d }))
	f := g.frames()
	f.request(1, true)
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("an answer that nobody reads is never given up")
	}
}

func TestHTTP2Informational(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		var h exchange.Header
		h.Add("link", "</a.css>")
		x.Response.Status = 200
		if x.Informational(103, &h) != nil || x.Informational(101, nil) == nil {
			x.Response.Status = 500
		}
	}), nil)
	f := g.frames()
	f.request(1, true)
	require.Equal(t, "103", f.outcome())
	require.Equal(t, "200", f.outcome())
}

func TestCurl(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	upload := strings.Repeat("0123456789", 50_000)
	for _, version := range []string{"--http1.1", "--http2", "--http1.0"} {
		curl := func(args ...string) string {
			t.Helper()
			cmd := exec.Command("curl", append([]string{"-sS", "-k", "-m", "10", version}, args...)...)
			cmd.Stdin = strings.NewReader(upload)
			out, err := cmd.Output()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("curl %s %q: %v: %s", version, args, err, exit.Stderr)
			}
			require.NoError(t, err)
			return string(out)
		}
		url := "https://" + g.addr
		require.Contains(t, curl(url+"/a?b=c"), "GET "+g.addr+" /a?b=c\n")
		require.Contains(t, curl(url+"/up", "-T", "-", "-X", "PUT", "-H", "Content-Length: 500000", "-H", "Transfer-Encoding:"), upload)
		if version != "--http1.0" {
			require.Contains(t, curl(url+"/up", "-T", "-"), upload)
		}
		require.Contains(t, curl(url+"/1", url+"/2"), "/2\n", "two requests on one connection")
		require.Contains(t, curl("-I", url+"/"), "200")
	}
}
