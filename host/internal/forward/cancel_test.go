package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cancelled is a context that tells of its end at once, as HTTP/2's requests have.
type cancelled struct {
	context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	f      func()
	asked  int
}

func newCancelled() *cancelled {
	c := &cancelled{}
	c.Context, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *cancelled) OnCancel(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.Err() != nil {
		return false
	}
	c.f = f
	return true
}

func (c *cancelled) Forget() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.f != nil
	c.f = nil
	return waiting
}

func (c *cancelled) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	if c.f != nil {
		c.f()
		c.f = nil
	}
}

// A client that can tell of its going ends the call by that and by nothing else, wherever
// the call is, and what is left of it at the upstream with it.
func TestCancellerEndsTheCall(t *testing.T) {
	for name, answer := range map[string]string{
		"before the answer": "",
		"in the stream":     "HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\nab",
	} {
		t.Run(name, func(t *testing.T) {
			x := newExchange("")
			defer x.Release()
			client := newCancelled()
			x.Context = client
			closed := make(chan struct{})
			s := script(t, func(_ int64, _ *http.Request, c net.Conn) bool {
				io.WriteString(c, answer)
				client.end()
				io.Copy(io.Discard, c)
				close(closed)
				return false
			})
			f := newForwarder(t, Options{})
			_, _, err := do(f, &Call{Upstream: upstreamOf(t, f, s.url), Method: "GET"}, x)
			require.Equal(t, ClientGone, kindOf(err), "%v", err)
			<-closed
			require.Equal(t, 1, client.asked)
		})
	}
}

// A call that is over is left alone, and so is the connection's next.
func TestCancellerIsForgotten(t *testing.T) {
	s := script(t, func(_ int64, r *http.Request, c net.Conn) bool {
		io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
		return true
	})
	f := newForwarder(t, Options{})
	up := upstreamOf(t, f, s.url)
	for n := range 3 {
		x := newExchange("")
		client := newCancelled()
		x.Context = client
		c := &Call{Upstream: up, Method: "GET"}
		_, body, err := do(f, c, x)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
		require.Equal(t, n > 0, c.Reused)
		require.Nil(t, client.f)
		client.end()
		x.Release()
	}
}

// A client that has gone before the call begins gets no call.
func TestCancellerOfWhoHasGone(t *testing.T) {
	s := script(t, func(_ int64, r *http.Request, c net.Conn) bool { t.Error("the upstream is asked"); return false })
	f := newForwarder(t, Options{})
	x := newExchange("")
	defer x.Release()
	client := newCancelled()
	client.end()
	x.Context = client
	_, _, err := do(f, &Call{Upstream: upstreamOf(t, f, s.url), Method: "GET"}, x)
	require.Equal(t, ClientGone, kindOf(err), "%v", err)
}
