package http2

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// reply answers with a body of n bytes.
func reply(n int) handlerFunc {
	body := []byte(strings.Repeat("0123456789abcdef", n/16+1))[:n]
	return func(x *exchange.Exchange) {
		x.Response.Status = 200
		x.Response.SetBody(body)
	}
}

func TestWindowOfOneByte(t *testing.T) {
	g := start(t, reply(10), nil)
	c := g.greet(settingInitialWindow, 1)
	c.request(1, true)
	c.wait("1 200")
	for range 9 {
		require.Equal(t, "1 data 1", c.wait("1 data"))
		c.open(1, 1)
	}
	require.Equal(t, "1 data 1 end", c.wait("1 data"))
}

// RFC 9113 6.9.2: a smaller initial window takes away what streams have, even below zero.
func TestWindowBelowZero(t *testing.T) {
	g := start(t, reply(5), nil)
	c := g.greet(settingInitialWindow, 3)
	c.request(1, true)
	require.Equal(t, "1 data 3", c.wait("1 data"))
	c.frame(frameSettings, 0, 0, appendSetting(nil, settingInitialWindow, 1)) // -2
	c.open(1, 2)                                                              // 0
	c.frame(framePing, 0, 0, make([]byte, 8))
	require.Equal(t, "pong", c.wait("pong", "1 data"))
	c.open(1, 1)
	require.Equal(t, "1 data 1", c.wait("1 data"))
	c.frame(frameSettings, 0, 0, appendSetting(nil, settingInitialWindow, 2))
	require.Equal(t, "1 data 1 end", c.wait("1 data"))
}

// The end of an answer needs no window, even below zero.
func TestEndBelowZero(t *testing.T) {
	pr, pw := io.Pipe()
	g := start(t, answerFunc(func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, pr }), nil)
	c := g.greet(settingInitialWindow, 3)
	c.request(1, true)
	_, err := io.WriteString(pw, "abc")
	require.NoError(t, err)
	require.Equal(t, "1 data 3", c.wait("1 data"))
	c.frame(frameSettings, 0, 0, appendSetting(nil, settingInitialWindow, 1)) // -2
	c.frame(framePing, 0, 0, make([]byte, 8))
	c.wait("pong")
	pw.Close()
	require.Equal(t, "1 data 0 end", c.wait("1"))
}

func TestConnectionWindow(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Target == "/empty" {
			x.Response.Status = 204
			return
		}
		reply(100_000)(x)
	}), nil)
	c := g.greet(settingInitialWindow, maxWindow)
	for _, id := range []uint32{1, 3} {
		c.request(id, true)
	}
	got := 0
	for got < defaultWindow {
		h, b, ok := c.next()
		require.True(t, ok)
		c.event(h, b) // a head that is not decoded spoils those after it
		if h.kind == frameData {
			got += len(b)
		}
	}
	require.Equal(t, defaultWindow, got)
	c.request(5, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/empty")
	require.Equal(t, "5 204 end", c.wait("5", "1 data", "3 data"), "a head needs no window")
	ended := 0
	for ended < 2 {
		c.open(0, 1000)
		for opened := 1000; opened > 0 && ended < 2; {
			h, b, ok := c.next()
			require.True(t, ok)
			if h.kind == frameData {
				got += len(b)
				opened -= len(b)
			}
			if h.kind == frameData && h.has(flagEndStream) {
				ended++
			}
		}
	}
	require.Equal(t, 200_000, got)
}

// What a client may send ahead of a handler that does not read is its window; more is a fault.
func TestUploadAgainstClosedWindow(t *testing.T) {
	for name, extra := range map[string]int{"within": 0, "beyond": 1} {
		t.Run(name, func(t *testing.T) {
			leave := make(chan struct{})
			g := start(t, handlerFunc(func(x *exchange.Exchange) {
				<-leave
				echo(x)
			}), nil)
			c := g.greet(settingInitialWindow, maxWindow)
			c.open(0, maxWindow-defaultWindow)
			c.request(1, false)
			for range streamWindowSize / maxFrame {
				c.data(1, false, strings.Repeat("x", maxFrame))
			}
			if extra > 0 {
				c.data(1, false, "x")
				require.Equal(t, "1 reset FLOW_CONTROL_ERROR", c.wait("1"))
				close(leave)
				return
			}
			c.frame(framePing, 0, 0, make([]byte, 8))
			for { // nothing is opened while nobody reads
				h, _, ok := c.next()
				require.True(t, ok)
				require.False(t, h.kind == frameWindowUpdate && h.stream == 1)
				if h.kind == framePing {
					break
				}
			}
			close(leave)
			for {
				h, _, ok := c.next()
				require.True(t, ok)
				if h.kind == frameWindowUpdate && h.stream == 1 {
					break
				}
			}
			c.data(1, true, "end")
			_, body := c.answer(1)
			require.Len(t, body, len("POST a /\n\n")+streamWindowSize+3)
		})
	}
}

// The connection's window bounds what all streams may have waiting.
func TestUploadsAgainstConnectionWindow(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	g := start(t, handlerFunc(func(x *exchange.Exchange) { <-leave }), nil)
	c := g.greet()
	sent := 0
	for id := uint32(1); sent < connWindowSize; id += 2 {
		c.request(id, false)
		for range streamWindowSize / maxFrame {
			c.data(id, false, strings.Repeat("x", maxFrame))
			sent += maxFrame
		}
	}
	c.request(99, false)
	c.data(99, false, "x")
	require.Equal(t, "goaway FLOW_CONTROL_ERROR", c.wait("goaway", "99"))
}

// A body much larger than all windows arrives whole, in pieces of any size.
func TestLargeUpload(t *testing.T) {
	const size = 3 << 20
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		n, buf := 0, make([]byte, 3000)
		for {
			m, err := x.Body.Read(buf)
			for _, b := range buf[:m] {
				if b != byte('a'+n%26) {
					panic(fmt.Sprint("wrong byte at ", n))
				}
				n++
			}
			if err != nil {
				x.Response.Status = 200
				x.Response.SetBody(fmt.Append(nil, n, err))
				return
			}
		}
	}), nil)
	c := g.greet()
	c.request(1, false, "content-length", fmt.Sprint(size))
	text := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 700)
	conn, stream := defaultWindow, streamWindowSize
	for sent := 0; sent < size; {
		n := min(1+sent%15000, size-sent, conn, stream)
		if n == 0 {
			h, b, ok := c.next()
			require.True(t, ok)
			if h.kind == frameWindowUpdate {
				add := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
				if h.stream == 0 {
					conn += add
				} else {
					stream += add
				}
			}
			continue
		}
		c.data(1, sent+n == size, text[sent%26:][:n])
		sent, conn, stream = sent+n, conn-n, stream-n
	}
	_, body := c.answer(1)
	require.Equal(t, fmt.Sprint(size, io.EOF), body)
}

// Before the end of a request was seen the handler never has all of what was announced.
func TestLastByteIsHeldBack(t *testing.T) {
	got := make(chan string, 10)
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		buf := make([]byte, 10)
		for {
			n, err := x.Body.Read(buf)
			got <- fmt.Sprint(string(buf[:n]), " ", err)
			if err != nil {
				x.Response.Status = 200
				return
			}
		}
	}), nil)
	c := g.greet()
	c.request(1, false, "content-length", "5")
	c.data(1, false, "hello")
	require.Equal(t, "hell <nil>", <-got)
	select {
	case text := <-got:
		t.Fatalf("handler got %q", text)
	case <-time.After(20 * time.Millisecond):
	}
	c.data(1, true, "")
	require.Equal(t, "o EOF", <-got)
	c.wait("1 200")
}

// later lets the server's clock run ahead.
func (g *gate) later(d time.Duration) { g.clock.Add(int64(d)) }

func limits(write time.Duration) func(*Options) {
	return func(o *Options) { o.Write = write }
}

func TestStreamThatIsNotReadIsGivenUp(t *testing.T) {
	finished := make(chan error, 1)
	g := start(t, &finisher{reply(100), finished}, limits(time.Minute))
	c := g.greet(settingInitialWindow, 10)
	c.request(1, true)
	require.Equal(t, "1 data 10", c.wait("1 data"))
	for range 6 { // a byte now and then does not help
		g.later(10 * time.Second)
		c.open(1, 1)
		require.Equal(t, "1 data 1", c.wait("1"))
	}
	g.later(2 * time.Second)
	require.Equal(t, "1 reset CANCEL", c.wait("1"))
	require.Equal(t, []string{streamUnread.Reason}, g.reasons())
	require.ErrorIs(t, <-finished, errTooSlow)
	c.open(0, 1000)
	c.request(3, true)
	c.wait("3 200")
}

// finisher tells how answers ended.
type finisher struct {
	exchange.Handler
	errs chan error
}

func (f *finisher) FinishExchange(_ *exchange.Exchange, err error) { f.errs <- err }

func TestConnectionWindowThatIsNeverOpened(t *testing.T) {
	g := start(t, reply(50_000), limits(time.Minute))
	c := g.greet(settingInitialWindow, maxWindow)
	c.request(1, true)
	c.request(3, true)
	for got := 0; got < defaultWindow; {
		h, b, ok := c.next()
		require.True(t, ok)
		if h.kind == frameData {
			got += len(b)
		}
	}
	for range 8 { // the streams' windows are open; what moves on the connection counts
		g.later(8 * time.Second)
		c.open(0, 1)
		require.Contains(t, c.wait("1", "3"), "data 1")
	}
	require.Contains(t, c.wait("1 reset", "3 reset"), "CANCEL")
}

func TestClientThatReadsNothing(t *testing.T) {
	finished := make(chan error, 100)
	g := start(t, &finisher{reply(1 << 20), finished}, limits(time.Minute))
	c := g.greet(settingInitialWindow, maxWindow)
	c.open(0, maxWindow-defaultWindow)
	for id := uint32(1); id < 40; id += 2 {
		c.request(id, true)
	}
	failed, ended := 0, 0
	require.Eventually(t, func() bool {
		select {
		case err := <-finished:
			ended++
			if err != nil { // what the socket took counts as sent
				failed++
			}
		default:
			g.later(10 * time.Second)
		}
		return ended == 20
	}, patience, time.Millisecond)
	require.Positive(t, failed)
	require.Contains(t, g.reasons(), streamUnread.Reason)
	g.settle(t)
}

func TestSlowHeads(t *testing.T) {
	for name, step := range map[string]func(c *client){
		"no preface":     func(c *client) {},
		"half a preface": func(c *client) { c.send([]byte(preface[:9])) },
		"no settings":    func(c *client) { c.send([]byte(preface)) },
		"half a frame":   func(c *client) { c.send([]byte(preface)); c.frame(frameSettings, 0, 0, nil); c.send([]byte{0, 0}) },
		"half a block": func(c *client) {
			c.send([]byte(preface))
			c.frame(frameSettings, 0, 0, nil)
			c.frame(frameHeaders, 0, 1, []byte{0x82})
		},
		"half a ping": func(c *client) {
			c.send([]byte(preface))
			c.frame(frameSettings, 0, 0, nil)
			c.send([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x00abc"))
		},
		"half a long head": func(c *client) {
			c.send([]byte(preface))
			c.frame(frameSettings, 0, 0, nil)
			c.send([]byte("\x00\x08\x00\x01\x05\x00\x00\x00\x01\x82\x87"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, handlerFunc(echo), func(o *Options) { o.Head, o.Idle = time.Minute, time.Hour })
			c := g.dial()
			step(c)
			settled := !strings.HasSuffix(name, "preface") && name != "no settings"
			// The connection's deadline begins with it; that of a frame once its part was seen.
			require.Eventually(t, func() bool {
				g.Server.mu.Lock()
				defer g.Server.mu.Unlock()
				if len(g.Server.conns) == 0 {
					return false
				}
				conn := g.Server.conns[0]
				conn.mu.Lock()
				defer conn.mu.Unlock()
				return conn.readUntil > 0 && (conn.settled || !settled)
			}, patience, time.Millisecond)
			g.later(61 * time.Second)
			require.Equal(t, []string{"goaway ENHANCE_YOUR_CALM"}, c.rest())
			require.Equal(t, []string{faultHeadSlow.Reason}, g.reasons())
		})
	}
}

func TestSlowBodies(t *testing.T) {
	reading := func(g *gate) {
		require.Eventually(t, func() bool {
			g.Server.mu.Lock()
			defer g.Server.mu.Unlock()
			if len(g.Server.conns) == 0 {
				return false
			}
			conn := g.Server.conns[0]
			conn.mu.Lock()
			defer conn.mu.Unlock()
			return len(conn.streams) > 0 && conn.streams[0].readUntil > 0
		}, patience, time.Millisecond)
	}
	t.Run("nothing", func(t *testing.T) {
		g := start(t, handlerFunc(echo), func(o *Options) { o.Body = time.Minute })
		c := g.greet()
		c.request(1, false)
		reading(g)
		g.later(61 * time.Second)
		require.Equal(t, "1 408", c.wait("1"))
		require.Equal(t, "1 reset NO_ERROR", c.wait("1 reset"))
		require.Equal(t, []string{errBodySlow.Reason}, g.reasons())
	})
	t.Run("trickle", func(t *testing.T) {
		g := start(t, handlerFunc(echo), func(o *Options) { o.Body = time.Minute })
		c := g.greet()
		c.request(1, false)
		reading(g)
		g.later(20 * time.Second)
		c.data(1, false, "x")
		require.Equal(t, "1 408", c.wait("1"))
	})
	t.Run("held", func(t *testing.T) {
		g := start(t, handlerFunc(echo), func(o *Options) { o.Body = time.Minute })
		c := g.greet()
		c.request(1, false, "content-length", "0")
		reading(g)
		g.later(61 * time.Second)
		require.Equal(t, "1 reset CANCEL", c.wait("1"))
	})
}

func TestIdleConnectionEnds(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Idle = time.Minute })
	c := g.greet()
	c.request(1, true)
	c.answer(1)
	g.later(59 * time.Second)
	c.request(3, true)
	c.answer(3)
	require.Eventually(t, func() bool { g.later(10 * time.Second); return len(g.open()) == 0 }, patience, 10*time.Millisecond)
	require.Equal(t, []string{"goaway NO_ERROR"}, c.rest())
	require.Empty(t, g.reasons())
}

func (g *gate) open() []*conn {
	g.Server.mu.Lock()
	defer g.Server.mu.Unlock()
	return append([]*conn(nil), g.Server.conns...)
}
