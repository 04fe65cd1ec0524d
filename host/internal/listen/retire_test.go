package listen

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (g *gate) awaitDone() {
	g.t.Helper()
	select {
	case <-g.Done():
	case <-time.After(patience):
		g.t.Fatal("a retired server does not end")
	}
}

func TestRetire(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	idle, fresh := g.dial(), g.dial()
	idle.send(get)
	r, _ := idle.receive("GET")
	require.False(t, r.Close)
	multiplexed := g.overHTTP2()
	r, err := multiplexed.Get("https://" + g.addr + "/")
	require.NoError(t, err)
	r.Body.Close()

	g.Retire()
	_, err = net.Dial("tcp", g.addr)
	require.Error(t, err)
	for _, c := range []*client{idle, fresh} {
		c.send(get)
		r, _ := c.receive("GET")
		require.True(t, r.Close)
		c.ended()
	}
	g.awaitDone() // HTTP/2 was told to go
	require.Zero(t, g.Connections())
	g.Retire()
}

func TestRetireEndsWithTheIdleTimeout(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Timeouts.Idle = 50 * time.Millisecond })
	c := g.dial()
	c.send(get)
	c.receive("GET")
	g.Retire()
	c.ended()
	g.awaitDone()
}

// TestRetireLate retires a connection that speaks HTTP/2 only afterwards: it is told with
// its first answer.
func TestRetireLate(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	raw, err := net.Dial("tcp", g.addr)
	require.NoError(t, err)
	defer raw.Close()
	require.Eventually(t, func() bool { return g.Connections() == 1 }, patience, time.Millisecond)
	g.Retire()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	tr := &http.Transport{TLSClientConfig: g.client, Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return raw, nil }}
	r, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + g.addr + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "GET")
	require.Equal(t, 2, r.ProtoMajor)
	g.awaitDone()
}
