package listen

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// interrupted answers 401 while it waits for more of a body than the client has sent.
func interrupted(t *testing.T, ended chan<- error) exchange.Handler {
	return handlerFunc(func(x *exchange.Exchange) {
		if x.Body == nil {
			echo(x)
			return
		}
		first := make([]byte, 2)
		_, err := io.ReadFull(x.Body, first)
		if err != nil || string(first) != "ab" {
			t.Errorf("read %q, %v", first, err)
		}
		go x.Body.(exchange.Interrupter).Interrupt() // ends at once; the Read below waits for it
		_, err = x.Body.Read(first)
		_, again := x.Body.Read(first)
		if again != err {
			t.Errorf("read again: %v, want %v", again, err)
		}
		ended <- err
		x.Response.Status = 401
		x.Response.SetBody([]byte("no"))
	})
}

// A body that is waited for can be interrupted: the answer goes out at once, the connection
// closes behind it, and nobody counts that as a fault of the client.
func TestInterruptedBody(t *testing.T) {
	ended := make(chan error, 1)
	g := start(t, interrupted(t, ended), nil)
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nab",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	} {
		c := g.dial()
		c.send("%s", raw)
		r, body := c.receive("POST")
		require.Equal(t, 401, r.StatusCode)
		require.Equal(t, "no", body)
		require.True(t, r.Close, "the rest of the body may still come (RFC 9112 9.3)")
		require.Equal(t, exchange.ErrInterrupted, <-ended)
		c.send("%s", strings.Repeat("x", 100)) // on its way when the answer came
		c.ended()
	}
	require.Empty(t, g.reasons())
}

// A body that is interrupted while nobody waits for it is drained as any that is not read:
// what follows on the connection is the next request.
func TestInterruptedBodyIsDrained(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Body == nil {
			echo(x)
			return
		}
		x.Body.(exchange.Interrupter).Interrupt()
		if _, err := x.Body.Read(make([]byte, 1)); err != exchange.ErrInterrupted {
			t.Errorf("read: %v", err)
		}
		x.Response.Status = 401
		x.Response.SetBody([]byte("no"))
	}), nil)
	c := g.dial()
	for range 3 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab")
		r, _ := c.receive("POST")
		require.Equal(t, 401, r.StatusCode)
		require.False(t, r.Close)
		c.send("%sGET /next HTTP/1.1\r\nHost: a\r\n\r\n", "cdefghij")
		_, body := c.receive("GET")
		require.Equal(t, "GET a /next\n\n", body)
	}
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
	r, _ := c.receive("POST")
	require.True(t, r.Close, "how much is to come is not known")
	c.ended()
	require.Empty(t, g.reasons())
}
