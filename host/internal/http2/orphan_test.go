package http2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// stuck is a handler that works on whatever becomes of its client, until leave is closed.
func stuck(entered chan<- struct{}, leave <-chan struct{}) handlerFunc {
	return func(x *exchange.Exchange) {
		x.Response.Status = 200
		if x.Target == "/stuck" {
			entered <- struct{}{}
			<-leave
		}
	}
}

func (c *client) get(id uint32, path string) {
	c.t.Helper()
	c.request(id, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", path)
}

// Orphans are bounded over all connections: who makes more is told to calm down, and
// neither those with many requests that they wait for nor those who give up one.
func TestOrphans(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	const most = 30
	g := start(t, stuck(entered, leave), func(o *Options) { o.Abandoned = most })
	// abandon has a request reach its handler and resets it.
	abandon := func(c *client, id uint32) {
		c.get(id, "/stuck")
		<-entered
		c.frame(frameRSTStream, 0, id, []byte{0, 0, 0, byte(codeCancel)})
	}
	patient := g.greet()
	for i := range uint32(40) { // more than the bound, none abandoned
		patient.get(2*i+1, "/stuck")
		<-entered
	}
	hogs := []*client{g.greet(), g.greet()}
	for i := range uint32(most / 2) {
		for _, hog := range hogs {
			abandon(hog, 2*i+1)
		}
	}
	for _, hog := range hogs { // at the bound, not above it
		hog.frame(framePing, 0, 0, make([]byte, 8))
		hog.wait("pong")
	}
	other := g.greet()
	abandon(other, 1)
	other.get(3, "/")
	require.Equal(t, "3 200 end", other.wait("3", "goaway"))
	abandon(hogs[0], 2*most+1)
	require.Equal(t, "goaway ENHANCE_YOUR_CALM", hogs[0].wait("goaway"))
	require.Contains(t, g.reasons(), faultAbandoned.Reason)
	require.EqualValues(t, most+2, g.orphans.all.Load())
	patient.get(81, "/")
	require.Equal(t, "81 200 end", patient.wait("81", "goaway"))

	close(leave)
	require.Equal(t, "1 200 end", patient.wait("1 ", "goaway"))
	require.Eventually(t, func() bool { return g.orphans.all.Load() == 0 && g.orphans.conns.Load() == 0 }, patience, patience/10000)
	for i := range uint32(most) { // there is room again
		abandon(other, 2*i+5)
	}
	other.frame(framePing, 0, 0, make([]byte, 8))
	require.Equal(t, "pong", other.wait("pong", "goaway"))
}

// A client that leaves makes orphans of all that it has.
func TestOrphansOfWhoLeaves(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	g := start(t, stuck(entered, leave), nil)
	for range 3 {
		c := g.greet()
		for i := range uint32(10) {
			c.get(2*i+1, "/stuck")
			<-entered
		}
		c.Close()
	}
	require.Eventually(t, func() bool { return g.orphans.all.Load() == 30 && g.orphans.conns.Load() == 3 }, patience, patience/10000)
	close(leave)
	g.settle(t)
	require.Zero(t, g.orphans.all.Load())
	require.Zero(t, g.orphans.conns.Load())
}

// The heads of a connection's requests are bounded together, since each may be references
// to one field, and those that come when they have left are answered again.
func TestHeadsAtOnce(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	limit := http1.DefaultLimits().Head
	g := start(t, stuck(entered, leave), nil)
	c := g.greet()
	value := strings.Repeat("y", 3000)
	ask := func(id uint32, path string) {
		fields := []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", path}
		for range limit/3040 - 1 {
			fields = append(fields, "x", value)
		}
		c.request(id, true, fields...)
	}
	id := uint32(1)
	for held := 0; held < maxHeads*limit; held += 3033*(limit/3040-1) + 150 {
		ask(id, "/stuck")
		<-entered
		id += 2
	}
	for range 2 {
		ask(id, "/")
		require.Equal(t, fmt.Sprint(id, " reset REFUSED_STREAM"), c.wait(fmt.Sprint(id), "goaway"))
		id += 2
	}
	require.Equal(t, []string{streamHeads.Reason, streamHeads.Reason}, g.reasons())
	close(leave)
	require.Eventually(t, func() bool { return g.heads() == 0 }, patience, patience/10000)
	c.get(id, "/")
	require.Equal(t, fmt.Sprint(id, " 200 end"), c.wait(fmt.Sprint(id), "goaway"))
}

// heads are the bytes of heads that the first connection's requests hold.
func (g *gate) heads() int {
	g.Server.mu.Lock()
	defer g.Server.mu.Unlock()
	if len(g.Server.conns) == 0 { // it has not been accepted yet
		return 0
	}
	c := g.Server.conns[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heads
}

// Trailers count, too.
func TestTrailersAtOnce(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	defer close(leave)
	g := start(t, stuck(entered, leave), func(o *Options) { o.Syntax.Head = 4 << 10 })
	c := g.greet()
	value := strings.Repeat("y", 3000)
	for id := uint32(1); g.heads() < maxHeads*4<<10; id += 2 {
		c.request(id, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/stuck")
		<-entered
		c.frame(frameHeaders, flagEndHeaders|flagEndStream, id, c.encode("x", value))
		c.frame(framePing, 0, 0, make([]byte, 8))
		require.Equal(t, "pong", c.wait("pong", fmt.Sprint(id), "goaway"))
		require.Less(t, id, uint32(100))
	}
	require.Empty(t, g.reasons())
	c.get(101, "/")
	require.Equal(t, "101 reset REFUSED_STREAM", c.wait("101", "goaway"))
}

// A refusal is not held for a client that shuts its windows.
func TestRefusalWithWindowsShut(t *testing.T) {
	g := start(t, reply(5), nil)
	c := g.greet(settingInitialWindow, 0)
	many := []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}
	for range g.o.Syntax.Fields + 1 {
		many = append(many, "x", "y")
	}
	c.request(1, true, many...)
	require.Equal(t, "1 431 end", c.wait("1"))
	c.request(3, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"+strings.Repeat("x", g.o.Syntax.Target))
	require.Equal(t, "3 414 end", c.wait("3"))
	c.request(5, false, "content-length", "99999999999")
	require.Equal(t, "5 413 end", c.wait("5"))
	require.Equal(t, "5 reset NO_ERROR", c.wait("5"))
}

// A reset tells whoever asked for it before anything else happens, and nobody who is done.
func TestResetTellsAtOnce(t *testing.T) {
	entered, told := make(chan struct{}), make(chan error, 1)
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		x.Response.Status = 200
		client := x.Context.(exchange.Canceller)
		if !client.OnCancel(func() { told <- nil }) {
			told <- errReset
			return
		}
		if x.Target == "/stuck" {
			close(entered)
			<-x.Context.Done()
			if client.Forget() || client.OnCancel(func() {}) {
				told <- errReset
			}
			return
		}
		if !client.Forget() {
			told <- errReset
		}
	}), nil)
	c := g.greet()
	c.get(1, "/")
	require.Equal(t, "1 200 end", c.wait("1"))
	c.get(3, "/stuck")
	<-entered
	c.frame(frameRSTStream, 0, 3, []byte{0, 0, 0, byte(codeCancel)})
	require.NoError(t, <-told)
	c.Close()
	g.settle(t)
	require.Empty(t, told)
}
