package http2

import (
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// counting notes how many requests are at work at once.
type counting struct {
	now, most atomic.Int64
	next      exchange.Handler
}

func (h *counting) ServeExchange(x *exchange.Exchange) {
	now := h.now.Add(1)
	for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
	}
	h.next.ServeExchange(x)
	h.now.Add(-1)
}

// attack is what a client does in a round; n counts rounds.
type attack struct {
	name string
	// settings of the client.
	settings []uint32
	round    func(c *client, n uint32) []byte
	rounds   int
	// end is how the connection ends: the attacker's GOAWAY, or empty when what it does is
	// only bounded.
	end string
	// deaf says that the attacker reads nothing, or not before it is done.
	deaf bool
}

// TestFloods: each attack costs bounded memory and requests at work, ends the way it
// should, and a client beside it is answered as before.
func TestFloods(t *testing.T) {
	for _, a := range slices.Concat(frameFloods(), requestFloods()) {
		t.Run(a.name, func(t *testing.T) { flood(t, &a) })
	}
}

const calm = "goaway ENHANCE_YOUR_CALM"

// slowRequest is a HEADERS frame whose handler does not return during the attack.
func slowRequest(c *client, id uint32, end bool) []byte {
	b := c.fields(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/slow")
	flags := uint8(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	return append(appendFrameHeader(nil, len(b), frameHeaders, flags, id), b...)
}

func largeRequest(c *client, id uint32) []byte {
	b := c.fields(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/large")
	return append(appendFrameHeader(nil, len(b), frameHeaders, flagEndHeaders|flagEndStream, id), b...)
}

// bombRequest is many references to one large field.
func bombRequest(c *client, n uint32) []byte {
	if n == 0 {
		b := c.fields("x", strings.Repeat("y", 3900))
		return append(appendFrameHeader(nil, len(b), frameHeaders, flagEndHeaders|flagEndStream, 1), b...)
	}
	b := append(c.fields(), strings.Repeat("\xbe", 16000)...)
	return append(appendFrameHeader(nil, len(b), frameHeaders, flagEndHeaders|flagEndStream, 2*n+1), b...)
}

// frameFloods are those of frames that are no requests.
func frameFloods() []attack {
	frame := func(kind, flags uint8, stream uint32, payload string) func(*client, uint32) []byte {
		b := append(appendFrameHeader(nil, len(payload), kind, flags, stream), payload...)
		return func(*client, uint32) []byte { return b }
	}
	return []attack{
		{name: "PING", round: frame(framePing, 0, 0, "12345678"), rounds: 20_000, end: calm},
		{name: "PING without reading", round: frame(framePing, 0, 0, "12345678"), rounds: 500_000, deaf: true, end: calm},
		{name: "SETTINGS", round: frame(frameSettings, 0, 0, "\x00\x04\x00\x00\x00\x01"), rounds: 20_000, end: calm},
		{name: "SETTINGS acknowledged", round: frame(frameSettings, flagAck, 0, ""), rounds: 20_000, end: calm},
		{name: "PRIORITY", round: frame(framePriority, 0, 9, "\x00\x00\x00\x01\x00"), rounds: 20_000, end: calm},
		{name: "unknown frames", round: frame(99, 0, 0, "x"), rounds: 20_000, end: calm},
		{name: "WINDOW_UPDATE", round: frame(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), rounds: 20_000, end: calm},
		{name: "GOAWAY", round: frame(frameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), rounds: 20_000, end: calm},
		{name: "empty DATA", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			if n == 0 {
				return slowRequest(c, 1, false)
			}
			return appendFrameHeader(nil, 0, frameData, 0, 1)
		}},
		{name: "DATA that is padding", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			if n == 0 {
				return slowRequest(c, 1, false)
			}
			return append(appendFrameHeader(nil, 3, frameData, flagPadded, 1), 2, 0, 0)
		}},
		{name: "empty CONTINUATION", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			if n == 0 {
				return append(appendFrameHeader(nil, 1, frameHeaders, 0, 1), 0x82)
			}
			return appendFrameHeader(nil, 0, frameContinuation, 0, 1)
		}},
		{name: "CONTINUATION (CVE-2023-45288)", rounds: 2000, end: calm, round: func(c *client, n uint32) []byte {
			if n == 0 {
				return append(appendFrameHeader(nil, 1, frameHeaders, 0, 1), 0x82)
			}
			return append(appendFrameHeader(nil, maxFrame, frameContinuation, 0, 1), strings.Repeat("\x00", maxFrame)...)
		}},
	}
}

// requestFloods are those of requests.
func requestFloods() []attack {
	return []attack{
		{name: "rapid reset (CVE-2023-44487)", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return appendRSTStream(slowRequest(c, 2*n+1, true), 2*n+1, codeCancel)
		}},
		{name: "rapid reset of refused streams", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return slowRequest(c, 2*n+1, true)
		}},
		{name: "made to reset by increments of zero (CVE-2025-8671)", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return appendWindowUpdate(slowRequest(c, 2*n+1, true), 2*n+1, 0)
		}},
		{name: "made to reset by overflow (CVE-2025-8671)", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return appendWindowUpdate(slowRequest(c, 2*n+1, true), 2*n+1, maxWindow)
		}},
		{name: "made to reset by DATA behind the end (CVE-2025-8671)", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return append(appendFrameHeader(slowRequest(c, 2*n+1, true), 1, frameData, 0, 2*n+1), 'x')
		}},
		{name: "made to reset by malformed heads", rounds: 20_000, end: calm, round: func(c *client, n uint32) []byte {
			return append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders|flagEndStream, 2*n+1), 0x82)
		}},
		{name: "HPACK bomb", rounds: 2000, end: calm, round: bombRequest},
		{name: "HPACK bomb with windows shut (CVE-2026-47774)", rounds: 90, settings: []uint32{settingInitialWindow, 0}, round: bombRequest},
		{name: "windows shut", rounds: 100, settings: []uint32{settingInitialWindow, 0}, round: func(c *client, n uint32) []byte {
			return largeRequest(c, 2*n+1)
		}},
		{name: "windows open and nothing read", rounds: 100, deaf: true, settings: []uint32{settingInitialWindow, maxWindow}, round: func(c *client, n uint32) []byte {
			if n == 0 {
				return appendWindowUpdate(nil, 0, maxWindow-defaultWindow)
			}
			return largeRequest(c, 2*n+1)
		}},
		{name: "bodies that nobody reads", rounds: 100, round: func(c *client, n uint32) []byte {
			b := slowRequest(c, 2*n+1, false)
			for range 40 { // more than any window
				b = append(appendFrameHeader(b, 256, frameData, 0, 2*n+1), make([]byte, 256)...)
			}
			return b
		}},
	}
}

// flood runs an attack on ten connections with a canary beside them.
func flood(t *testing.T, a *attack) {
	leave := make(chan struct{})
	defer close(leave) // also when a requirement fails: the server waits for its handlers
	large := make([]byte, 5<<20)
	h := &counting{next: handlerFunc(func(x *exchange.Exchange) {
		switch x.Target {
		case "/slow":
			<-leave
		case "/large":
			x.Response.SetBody(large)
		}
		x.Response.Status = 200
	})}
	g := start(t, h, nil)
	canary := g.greet()
	canaryID := uint32(1)
	ask := func() time.Duration {
		from := time.Now()
		canary.SetDeadline(from.Add(patience))
		canary.request(canaryID, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/")
		events, _ := canary.answer(canaryID)
		require.Equal(t, []string{"200 end"}, events)
		canaryID += 2
		return time.Since(from)
	}
	ask()
	before := heap()
	var attackers sync.WaitGroup
	const n = 10
	ends := make([]string, n)
	for i := range n {
		c := g.greet(a.settings...)
		attackers.Go(func() { ends[i] = a.run(c) })
	}
	var slowest time.Duration
	peak := before
	watch(&attackers, func() {
		slowest = max(slowest, ask())
		peak = max(peak, heap())
	})
	t.Logf("heap grew by %d KiB, %d requests at once, the canary waited for at most %v", (peak-before)>>10, h.most.Load(), slowest)
	require.Less(t, peak-before, int64(100<<20))
	require.LessOrEqual(t, h.most.Load(), int64(100*n+1))
	for _, end := range ends {
		if a.deaf && end == "" { // it was cut off before it looked
			continue
		}
		require.Equal(t, a.end, end)
	}
}

// watch looks again and again until the attackers are done, and once more.
func watch(attackers *sync.WaitGroup, look func()) {
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		attackers.Wait()
	}()
	for running := true; running; look() {
		select {
		case <-done:
			running = false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// run attacks and tells how the connection ended.
func (a *attack) run(c *client) string {
	ended := make(chan string, 1)
	go func() { // ends with the connection, which run closes
		end := ""
		for !a.deaf {
			h, b, ok := c.nextQuietly()
			if !ok {
				break
			}
			if h.kind == frameGoAway {
				end = "goaway " + codeName(b[4:])
			}
		}
		ended <- end
	}()
	var out []byte
	for n := range uint32(a.rounds) {
		out = append(out, a.round(c, n)...)
		if len(out) < 16<<10 && n+1 < uint32(a.rounds) {
			continue
		}
		if _, err := c.Write(out); err != nil {
			break
		}
		out = out[:0]
	}
	if a.end == "" { // give it time to do its worst
		<-time.After(200 * time.Millisecond)
		c.Close()
		<-ended
		return ""
	}
	if a.deaf {
		end := ""
		for {
			h, b, ok := c.nextQuietly()
			if !ok {
				return end
			}
			if h.kind == frameGoAway {
				end = "goaway " + codeName(b[4:])
			}
		}
	}
	return <-ended
}

// nextQuietly is next for a connection that may break, which c.err tells then.
func (c *client) nextQuietly() (h frameHeader, b []byte, ok bool) {
	var head [headerSize]byte
	if _, c.err = io.ReadFull(c, head[:]); c.err != nil {
		return h, nil, false
	}
	h = parseFrameHeader(head[:])
	b = make([]byte, h.length)
	_, c.err = io.ReadFull(c, b)
	return h, b, c.err == nil
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
