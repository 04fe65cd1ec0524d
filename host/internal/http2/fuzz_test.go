package http2

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// FuzzFrames sends any bytes behind preface and SETTINGS: the server must survive them,
// end the connection or answer, and a client beside it must not notice.
func FuzzFrames(f *testing.F) {
	c := &client{t: f}
	c.enc = hpack.NewEncoder(&c.buf)
	head := c.fields("content-length", "3")
	request := append(appendFrameHeader(nil, len(head), frameHeaders, flagEndHeaders, 1), head...)
	f.Add(append(bytes.Clone(request), "\x00\x00\x03\x00\x01\x00\x00\x00\x01abc"...))
	f.Add(append(bytes.Clone(request), "\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x00"...))
	f.Add(append(bytes.Clone(request), "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"...))
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"))
	f.Add([]byte("\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82\x00\x00\x00\x09\x04\x00\x00\x00\x01"))
	g := start(f, handlerFunc(echo), nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("tcp", g.addr)
		require.NoError(t, err)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(append(append([]byte(preface), appendFrameHeader(nil, 0, frameSettings, 0, 0)...), b...))
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		for len(answer) > 0 { // what the server sends are whole frames
			require.GreaterOrEqual(t, len(answer), headerSize)
			h := parseFrameHeader(answer)
			require.GreaterOrEqual(t, len(answer), headerSize+h.length)
			answer = answer[headerSize+h.length:]
		}
		g.settle(t)
	})
}

// FuzzRequest holds requests that are accepted against what x/net's server makes of them:
// method, authority, target, fields and body must be the same.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "a", "/x?y=z", "accept", "b", "", "", "")
	f.Add("POST", "A:1", "/%2f", "content-length", "3", "cookie", "a=b", "abc")
	f.Add("POST", "a", "/", "cookie", "c=d", "cookie", "a=b", "abc")
	f.Add("OPTIONS", "[::1]", "*", "te", "trailers", "host", "[::1]", "")
	f.Add("PUT", "a", "//b/..;/c?d|e", "x-y_z", "\x80\tq", "expect", "100-continue", "x")
	var seen exchangeSeen
	g := start(f, &seen, nil)
	oracle := newOracle(f)
	f.Fuzz(func(t *testing.T, method, authority, path, name1, value1, name2, value2, body string) {
		fields := []string{":method", method, ":scheme", "https", ":authority", authority, ":path", path}
		for _, f := range [][2]string{{name1, value1}, {name2, value2}} {
			if f[0] != "" {
				fields = append(fields, f[0], f[1])
			}
		}
		seen.text = ""
		if !ask(t, g.addr, fields, body) {
			return
		}
		oracle.text = ""
		require.True(t, ask(t, oracle.addr, fields, body), "the oracle refuses what we accept: %q %q", fields, body)
		require.Equal(t, oracle.text, seen.text)
	})
}

// ask sends a request on a connection of its own; true when it is answered with 200.
func ask(t testing.TB, addr string, fields []string, body string) bool {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	conn.(*net.TCPConn).SetLinger(0) // or ports run out
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{Conn: conn, t: t, dec: hpack.NewDecoder(4096, nil)}
	c.enc = hpack.NewEncoder(&c.buf)
	b := append([]byte(preface), appendFrameHeader(nil, 0, frameSettings, 0, 0)...)
	head := c.encode(fields...)
	if len(head) > maxFrame || len(body) > maxFrame {
		return false
	}
	flags := uint8(flagEndHeaders)
	if body == "" {
		flags |= flagEndStream
	}
	b = append(appendFrameHeader(b, len(head), frameHeaders, flags, 1), head...)
	if body != "" {
		b = append(appendFrameHeader(b, len(body), frameData, flagEndStream, 1), body...)
	}
	conn.Write(b)
	for {
		h, b, ok := c.nextQuietly()
		switch {
		case !ok:
			require.NotErrorIs(t, c.err, os.ErrDeadlineExceeded, "nobody answers %q %q", fields, body)
			return false
		case h.kind == frameRSTStream || h.kind == frameGoAway:
			return false
		case h.kind == frameHeaders:
			fields, err := c.dec.DecodeFull(b)
			require.NoError(t, err)
			if fields[0].Value != "100" {
				return fields[0].Value == "200"
			}
		}
	}
}

// exchangeSeen writes down an exchange so that it compares with a [http.Request].
type exchangeSeen struct{ text string }

func (s *exchangeSeen) ServeExchange(x *exchange.Exchange) {
	body, err := x.Full(1 << 20)
	fields := map[string][]string{}
	for name, value := range x.Header.All() {
		fields[string(name)] = append(fields[string(name)], string(value))
	}
	target := x.Target
	if x.Query != "" || x.EmptyQuery {
		target += "?" + x.Query
	}
	x.Response.Status = 200
	if err != nil {
		x.Response.Status = 400
	}
	s.text = written(x.Method, x.Authority, target, fields, body)
}

func written(method, authority, target string, fields map[string][]string, body []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", method, strings.TrimSuffix(strings.ToLower(authority), ":"), target)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&b, "%s: %q\n", name, fields[name])
	}
	fmt.Fprintf(&b, "\n%q", body)
	return b.String()
}

// xnet is x/net's server.
type xnet struct{ addr, text string }

func newOracle(t testing.TB) *xnet {
	o := &xnet{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o.addr = l.Addr().String()
	done := make(chan struct{})
	server := &http2.Server{}
	go func() { // ends with l; waited for below
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server.ServeConn(conn, &http2.ServeConnOpts{Handler: http.HandlerFunc(o.serve)})
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return o
}

// dropped are the fields that we take out of a request, or resolve.
var dropped = []string{"te", "trailer", "expect", "host", "content-length", "proxy-authenticate", "proxy-authorization",
	"proxy-authentication-info", "forwarded", "x-real-ip", "x-amzn-requestid", "x-amzn-request-id", "x-amzn-errortype"}

func (o *xnet) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fields := map[string][]string{}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		plain := strings.ReplaceAll(name, "_", "-")
		if name != plain && (slices.Contains(dropped, plain) || shadows(plain)) || slices.Contains(dropped, name) || ours(plain) {
			continue
		}
		fields[name] = append(fields[name], values...)
	}
	if err != nil {
		w.WriteHeader(400)
		return
	}
	o.text = written(r.Method, r.Host, r.RequestURI, fields, body)
}

func ours(name string) bool {
	for _, prefix := range []string{"x-forwarded-", "x-amzn-apigateway-", "x-amzn-oidc-", "x-amzn-mtls-", "x-amzn-vpc", "x-amzn-remapped-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// shadows tells whether a field spelled with _ hides behind one that means something.
func shadows(name string) bool {
	return slices.Contains([]string{"authorization", "cookie", "set-cookie", "content-type", "content-encoding", "content-range",
		"x-api-key", "x-amzn-trace-id", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "transfer-encoding",
		"connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings"}, name)
}
