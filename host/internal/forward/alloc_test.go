//go:build !race

package forward

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// parrot answers whatever it reads with the same bytes, without the cost of a server.
func parrot(t testing.TB, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { // ends with its one connection, closed by the Forwarder; the clean-up waits
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, reply := make([]byte, 64<<10), []byte(answer)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

const answer256 = "HTTP/1.1 200 OK\r\nserver: parrot\r\ncontent-type: application/json\r\ncontent-security-policy-report-only: x\r\ncontent-length: 256\r\n\r\n" +
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" +
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func callOnce(t testing.TB, f *Forwarder, x *exchange.Exchange, c *Call) {
	x.Response.Reset()
	if err := f.Do(x, c); err != nil {
		t.Fatal(err)
	}
	if len(x.Response.Body) != 256 {
		t.Fatalf("%d bytes", len(x.Response.Body))
	}
}

func setUp(t testing.TB) (*Forwarder, *exchange.Exchange, *Call) {
	url := parrot(t, answer256)
	f := newForwarder(t, Options{})
	x := newExchange("")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	x.Context = ctx
	x.Authority = "api.example.com"
	for range 8 {
		x.Header.Add("x-some-header-of-the-client", "some value of the client")
	}
	return f, x, &Call{Upstream: upstreamOf(t, f, url), Method: "GET", Path: "/a/b", Query: "c=d", Header: &x.Header, Forwarded: true}
}

func TestSmallCallsAllocateNothing(t *testing.T) {
	f, x, c := setUp(t)
	defer x.Release()
	callOnce(t, f, x, c)
	require.Zero(t, testing.AllocsPerRun(500, func() { callOnce(t, f, x, c) }))
	x.SetBody([]byte("a body that is sent along"))
	c.Method = "POST"
	require.Zero(t, testing.AllocsPerRun(500, func() { callOnce(t, f, x, c) }))
}

func BenchmarkCall(b *testing.B) {
	f, x, c := setUp(b)
	callOnce(b, f, x, c)
	b.ReportAllocs()
	for b.Loop() {
		callOnce(b, f, x, c)
	}
}
