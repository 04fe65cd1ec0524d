package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// brief are timeouts that a test can wait for; d is the one it waits for.
func brief(set func(t *Timeouts, d time.Duration)) func(*Options) {
	return func(o *Options) { set(&o.Timeouts, 50*time.Millisecond) }
}

func TestSlowHello(t *testing.T) {
	g := start(t, handlerFunc(echo), brief(func(t *Timeouts, d time.Duration) { t.Hello = d }))
	conn, err := net.Dial("tcp", g.addr)
	require.NoError(t, err)
	c := g.wrap(conn)
	c.send("\x16\x03\x01")
	io.Copy(io.Discard, c)
	require.Eventually(t, func() bool { return len(g.reasons()) == 1 }, patience, time.Millisecond)
	require.Equal(t, []string{ReasonHelloSlow}, g.reasons())
}

func TestNotTLS(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	conn, err := net.Dial("tcp", g.addr)
	require.NoError(t, err)
	c := g.wrap(conn)
	c.send(get)
	io.Copy(io.Discard, c)
	require.Eventually(t, func() bool { return len(g.reasons()) == 1 }, patience, time.Millisecond)
	require.Equal(t, []string{ReasonHello}, g.reasons())
}

func TestSlowHead(t *testing.T) {
	for _, sent := range []string{"G", "GET / HTTP/1.1\r\nHost: a\r\n", get + "GET /"} {
		g := start(t, handlerFunc(echo), brief(func(t *Timeouts, d time.Duration) { t.Head = d }))
		c := g.dial()
		c.send("%s", sent)
		if strings.HasPrefix(sent, get) {
			c.receive("GET")
		}
		r, body := c.receive("GET")
		require.Equal(t, 408, r.StatusCode)
		require.Equal(t, `{"message":"Request Timeout"}`, body)
		c.ended()
		require.Equal(t, []string{ReasonHeadSlow}, g.reasons())
	}
}

func TestSlowBody(t *testing.T) {
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:",
	} {
		g := start(t, handlerFunc(echo), brief(func(t *Timeouts, d time.Duration) { t.Body = d }))
		c := g.dial()
		c.send("%s", raw)
		r, _ := c.receive("POST")
		require.Equal(t, 408, r.StatusCode)
		c.ended()
		require.Equal(t, []string{ReasonBodySlow}, g.reasons())
	}
}

func TestIdleConnectionEnds(t *testing.T) {
	g := start(t, handlerFunc(echo), brief(func(t *Timeouts, d time.Duration) { t.Idle = d }))
	c := g.dial()
	c.send(get)
	c.receive("GET")
	c.ended()
	require.Empty(t, g.reasons())
}

func TestSlowReaderIsCutOff(t *testing.T) {
	closed := make(chan struct{})
	g := start(t, reply(func(r *exchange.Response) {
		r.Status, r.Length = 200, -1
		r.Stream = &endless{closed}
	}), brief(func(t *Timeouts, d time.Duration) { t.Write = d }))
	c := g.dial()
	c.send(get)
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("an answer that nobody reads is never given up")
	}
	require.Contains(t, g.reasons(), ReasonWriteSlow)
}

type endless struct{ closed chan struct{} }

func (e *endless) Read(p []byte) (int, error) { return len(p), nil }
func (e *endless) Close() error               { close(e.closed); return nil }

func TestPace(t *testing.T) {
	var p pace
	const second = int64(time.Second)
	require.False(t, p.tooSlow(1, 10*second, 240), "the first ten seconds are free")
	require.False(t, p.tooSlow(239, second, 240))
	require.True(t, p.tooSlow(1, second, 240), "241 bytes where 480 are due")
	require.False(t, p.tooSlow(0, 100*second, -1))
	p = pace{}
	for range 1000 {
		require.False(t, p.tooSlow(240, second, 240))
	}
}

func TestClientGoneCancelsContext(t *testing.T) {
	for name, leave := range map[string]func(c *client){
		"close_notify": func(c *client) { c.Close() },
		"reset": func(c *client) {
			tcp := c.Conn.(*tls.Conn).NetConn().(*net.TCPConn)
			tcp.SetLinger(0)
			tcp.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			entered, left := make(chan struct{}), make(chan struct{})
			g := start(t, handlerFunc(func(x *exchange.Exchange) {
				close(entered)
				<-x.Context.Done()
				close(left)
				x.Response.Status = 200
			}), nil)
			c := g.dial()
			c.send(get)
			<-entered
			leave(c)
			select {
			case <-left:
			case <-time.After(patience):
				t.Fatal("handler works for nobody")
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	for reason, set := range map[string]func(l *Limits){
		ReasonConnections: func(l *Limits) { l.Connections = 2 },
		ReasonAddress:     func(l *Limits) { l.ConnectionsPerAddress = 2 },
	} {
		t.Run(reason, func(t *testing.T) {
			g := start(t, handlerFunc(echo), func(o *Options) { set(&o.Limits) })
			a, b := g.dial(), g.dial()
			_, err := tls.Dial("tcp", g.addr, g.client)
			require.Error(t, err)
			require.Equal(t, []string{reason}, g.reasons())
			a.Close()
			require.Eventually(t, func() bool { return g.Connections() == 1 }, patience, time.Millisecond)
			c := g.dial()
			for _, c := range []*client{b, c} {
				c.send(get)
				c.receive("GET")
			}
		})
	}
}

func TestConfiguredHeadLimits(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) {
		o.Limits.Fields, o.Limits.HeadBytes, o.Limits.TargetBytes, o.Limits.Trace = 3, 300, 20, true
	})
	for raw, status := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n":                        200,
		"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n":                431,
		"GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("x", 300) + "\r\n\r\n": 431,
		"GET /" + strings.Repeat("x", 19) + " HTTP/1.1\r\nHost: a\r\n\r\n":         200,
		"GET /" + strings.Repeat("x", 20) + " HTTP/1.1\r\nHost: a\r\n\r\n":         414,
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n":                                      200,
	} {
		c := g.dial()
		c.send("%s", raw)
		r, _ := c.receive("GET")
		require.Equal(t, status, r.StatusCode, "%q", raw)
	}
}

func TestForwardedFieldsOfTrustedProxy(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		g := start(t, handlerFunc(echo), func(o *Options) {
			o.Limits.Trusted = func(a netip.Addr) bool { return trusted && a.IsLoopback() }
		})
		c := g.dial()
		c.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Amzn-RequestId: x\r\n\r\n")
		_, body := c.receive("GET")
		require.Equal(t, trusted, strings.Contains(body, "x-forwarded-for: 192.0.2.1"), body)
		require.NotContains(t, body, "x-amzn-requestid")
	}
}

func TestShutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Target == "/slow" {
			close(entered)
			<-leave
		}
		echo(x)
	}), nil)
	idle, busy := g.dial(), g.dial()
	idle.send(get)
	idle.receive("GET")
	busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	down := make(chan error, 1)
	go func() { down <- g.Shutdown(context.Background()) }()
	idle.ended()
	_, err := net.Dial("tcp", g.addr)
	require.Error(t, err)
	select {
	case err := <-down:
		t.Fatalf("Shutdown returns %v while a request runs", err)
	default:
	}
	close(leave)
	r, body := busy.receive("GET")
	require.Equal(t, "GET a /slow\n\n", body)
	require.True(t, r.Close)
	busy.ended()
	require.NoError(t, <-down)
	require.NoError(t, g.Shutdown(context.Background()))
	require.Zero(t, g.Connections())
}

func TestShutdownIsBounded(t *testing.T) {
	entered := make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		close(entered)
		<-x.Context.Done()
		x.Response.Status = 200
	}), nil)
	c := g.dial()
	c.send(get)
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Shutdown(ctx), context.DeadlineExceeded)
	require.Zero(t, g.Connections())
}

func TestTLSVersions(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := g.client.Clone()
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		c, err := tls.Dial("tcp", g.addr, config)
		require.Equal(t, ok, err == nil, "%x: %v", version, err)
		if err == nil {
			c.Close()
		}
	}
	config := g.client.Clone()
	config.NextProtos = []string{"spdy/3"}
	_, err := tls.Dial("tcp", g.addr, config)
	require.Error(t, err)
}

func TestPlainListener(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) {
		o.Challenge = func(host, path string) ([]byte, bool) {
			return []byte(host + " key"), path == "/.well-known/acme-challenge/token"
		}
	})
	port := netip.MustParseAddrPort(g.addr).Port()
	for _, k := range []struct {
		raw      string
		status   int
		location string
		body     string
	}{
		{"GET /a%2f?b=c HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n", 308, fmt.Sprintf("https://example.com:%d/a%%2f?b=c", port), ""},
		{"POST /a HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 1\r\n\r\nx", 308, fmt.Sprintf("https://[::1]:%d/a", port), ""},
		{"GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 308, fmt.Sprintf("https://a:%d//evil.example/x", port), ""},
		{"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil.example\r\n\r\n", 308, fmt.Sprintf("https://a:%d/", port), ""},
		{"GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a:80\r\n\r\n", 200, "", "a key"},
		{"GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: a\r\n\r\n", 404, "", `{"message":"Not Found"}`},
		{"POST /.well-known/acme-challenge/token HTTP/1.1\r\nHost: a\r\n\r\n", 404, "", `{"message":"Not Found"}`},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", `{"message":"Bad Request"}`},
		{"GET / HTTP/1.0\r\n\r\n", 400, "", `{"message":"Bad Request"}`},
		{"GET / HTTP/1.1\r\nHost: a@evil.example\r\n\r\n", 400, "", `{"message":"Bad Request"}`},
		{"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501, "", `{"message":"Not Implemented"}`},
	} {
		c := g.dialPlain()
		c.send("%s", k.raw)
		r, body := c.receive("GET")
		require.Equal(t, k.status, r.StatusCode, k.raw)
		require.Equal(t, k.location, r.Header.Get("Location"))
		require.Equal(t, k.body, body)
		c.ended()
	}
}
