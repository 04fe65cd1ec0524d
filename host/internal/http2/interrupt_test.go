package http2

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// The answer to a body that is interrupted while it is waited for is whole, and then the
// client is told to stop (RFC 9113 8.1); what it has sent meanwhile harms nobody.
func TestInterruptedBody(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Body == nil {
			reply(5)(x)
			return
		}
		p := make([]byte, 4)
		n, err := x.Body.Read(p)
		if err != nil || string(p[:n]) != "some" {
			t.Errorf("read %q, %v", p[:n], err)
		}
		go x.Body.(exchange.Interrupter).Interrupt() // ends at once; the Read below waits for it
		for range 2 {
			if _, err := x.Body.Read(p); err != exchange.ErrInterrupted {
				t.Errorf("read: %v, want %v", err, exchange.ErrInterrupted)
			}
		}
		reply(5)(x)
	}), nil)
	c := g.greet()
	for id := uint32(1); id < 9; id += 4 {
		c.request(id, false)
		c.data(id, false, "some")
		events, _ := c.answer(id)
		require.Equal(t, []string{"200", "data 5 end"}, events)
		events, _ = c.answer(id)
		require.Equal(t, []string{"reset NO_ERROR"}, events)
		c.data(id, true, "what was on its way")
		c.request(id+2, true)
		events, _ = c.answer(id + 2)
		require.Equal(t, []string{"200", "data 5 end"}, events)
	}
	require.Empty(t, g.reasons())
}

// Streams that end with their bodies unread give the connection's window back: a client
// whose requests were all answered early can still upload.
func TestUnreadBodiesGiveTheirWindowBack(t *testing.T) {
	for name, answer := range map[string]handlerFunc{
		"unread": reply(5),
		"interrupted": func(x *exchange.Exchange) {
			x.Body.(exchange.Interrupter).Interrupt()
			reply(5)(x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			leave, entered := make(chan struct{}), make(chan struct{}, 4)
			g := start(t, handlerFunc(func(x *exchange.Exchange) {
				if x.Target == "/last" {
					echo(x)
					return
				}
				entered <- struct{}{}
				<-leave
				answer(x)
			}), nil)
			c := g.greet()
			id := uint32(1)
			for sent := 0; sent < connWindowSize; id += 2 {
				c.request(id, false)
				<-entered
				for range streamWindowSize / maxFrame {
					c.data(id, false, strings.Repeat("x", maxFrame))
					sent += maxFrame
				}
			}
			c.frame(framePing, 0, 0, make([]byte, 8)) // until all of that is there
			c.wait("pong")
			close(leave)
			for opened := 0; opened < connWindowSize/2; {
				h, b, ok := c.next()
				require.True(t, ok, "the connection ended")
				c.event(h, b) // keeps the compression's state
				if h.kind == frameWindowUpdate && h.stream == 0 {
					opened += int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
				}
			}
			c.request(id, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/last")
			c.data(id, true, strings.Repeat("y", maxFrame))
			events, body := c.answer(id)
			require.True(t, strings.HasSuffix(body, strings.Repeat("y", maxFrame)), "%q", events)
		})
	}
}
