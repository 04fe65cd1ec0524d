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

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, g.Retire(ctx), context.Canceled, "nothing is waited for, nothing closed")
	_, err = net.Dial("tcp", g.addr)
	require.Error(t, err)
	for _, c := range []*client{idle, fresh} {
		c.send(get)
		r, _ := c.receive("GET")
		require.True(t, r.Close)
		c.ended()
	}
	require.NoError(t, g.Retire(context.Background()), "HTTP/2 was told to go")
	require.Zero(t, g.Connections())
}

func TestRetireEndsWithTheIdleTimeout(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Timeouts.Idle = 50 * time.Millisecond })
	c := g.dial()
	c.send(get)
	c.receive("GET")
	require.NoError(t, g.Retire(context.Background()))
	c.ended()
}

// TestRetireLate retires a connection that speaks HTTP/2 only afterwards: it is told with
// its first answer.
func TestRetireLate(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	raw, err := net.Dial("tcp", g.addr)
	require.NoError(t, err)
	defer raw.Close()
	require.Eventually(t, func() bool { return g.Connections() == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, g.Retire(ctx), context.Canceled)

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
	require.NoError(t, g.Retire(context.Background()))
}
