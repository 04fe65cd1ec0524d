package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http2/hpack"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test.
const patience = 10 * time.Second

type handlerFunc func(x *exchange.Exchange)

func (f handlerFunc) ServeExchange(x *exchange.Exchange) { f(x) }

// gate is a server on loopback with what it saw.
type gate struct {
	*Server
	t     testing.TB
	addr  string
	clock atomic.Int64 // added to the real one
	mu    sync.Mutex
	seen  []string // reasons
	conns []net.Conn
}

// socket is a Transport as listen makes it, without TLS.
type socket struct{ net.Conn }

func (s socket) Linger() {
	s.Conn.(*net.TCPConn).CloseWrite()
	s.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, s.Conn)
	s.Close()
}

func (s socket) Abort() { s.Close() }
func (s socket) Rest()  {}

// start runs a server for the time of the test.
func start(t testing.TB, h exchange.Handler, change func(*Options)) *gate {
	t.Helper()
	g := &gate{t: t}
	epoch := time.Now()
	var id atomic.Uint64
	o := Options{
		Handler: h, Syntax: http1.DefaultLimits(), Streams: 100, BodyBytes: 10 << 20,
		Head: patience, Body: patience, Idle: patience, Rest: patience, Write: patience, BodyRate: 240,
		Identify: func(x *exchange.Exchange) { copy(x.ID[:], fmt.Sprintf("%036d", id.Add(1))) },
		Now:      func() int64 { return int64(time.Since(epoch)) + g.clock.Load() + 1 },
		Date:     func() string { return "Mon, 23 Nov 2026 12:00:00 GMT" },
		Logger:   slog.New(slog.DiscardHandler),
		OnRefusal: func(_ *Peer, _ *exchange.Exchange, r *http1.Refusal) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.seen = append(g.seen, r.Reason)
		},
	}
	if change != nil {
		change(&o)
	}
	g.Server = New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g.addr = l.Addr().String()
	var running sync.WaitGroup
	running.Go(func() { // ends with l; waited for below
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.conns = append(g.conns, conn)
			g.mu.Unlock()
			running.Go(func() {
				g.Open(Peer{
					Transport: socket{conn}, Remote: netip.MustParseAddrPort("192.0.2.1:1"),
					Info: &exchange.Conn{Protocol: "HTTP/2.0"},
				}).Serve()
			})
		}
	})
	stop, ticked := make(chan struct{}), make(chan struct{})
	go func() { // waited for below
		defer close(ticked)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				g.Tick()
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		g.mu.Lock()
		for _, c := range g.conns {
			c.Close()
		}
		g.mu.Unlock()
		running.Wait()
		close(stop)
		<-ticked
		g.Close()
	})
	return g
}

// settle waits until no connection is left, and so no handler.
func (g *gate) settle(t testing.TB) {
	require.Eventually(t, func() bool {
		g.Server.mu.Lock()
		defer g.Server.mu.Unlock()
		return len(g.Server.conns) == 0
	}, patience, 100*time.Microsecond)
}

// reasons are those of the refusals so far.
func (g *gate) reasons() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.seen...)
}

// echo answers with what it understood.
func echo(x *exchange.Exchange) {
	text, err := describe(x)
	if err != nil {
		problem.Write(x, err)
		return
	}
	x.Response.Status = 200
	x.Response.Header.Add("content-type", "text/plain")
	x.Response.SetBody([]byte(text))
}

func describe(x *exchange.Exchange) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", x.Method, x.Authority, x.Target)
	if x.Query != "" || x.EmptyQuery {
		b.WriteString("?" + x.Query)
	}
	b.WriteString("\n")
	for name, value := range x.Header.All() {
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	b.WriteString("\n")
	if r, _, _ := x.BodyReader(); r != nil {
		body, err := io.ReadAll(r)
		if err != nil {
			return "", err
		}
		b.Write(body)
	}
	for name, value := range x.Trailer.All() {
		fmt.Fprintf(&b, "\n%s: %s", name, value)
	}
	return b.String(), nil
}

// client speaks frames.
type client struct {
	net.Conn
	t   testing.TB
	enc *hpack.Encoder
	buf bytes.Buffer
	dec *hpack.Decoder
	err error // of nextQuietly
}

// dial opens a connection, without a word.
func (g *gate) dial() *client {
	conn, err := net.Dial("tcp", g.addr)
	require.NoError(g.t, err)
	return speak(g.t, conn)
}

// speak makes a client of a connection.
func speak(t testing.TB, conn net.Conn) *client {
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	c := &client{Conn: conn, t: t, dec: hpack.NewDecoder(4096, nil)}
	c.enc = hpack.NewEncoder(&c.buf)
	return c
}

// greet opens a connection with preface and settings.
func (g *gate) greet(settings ...uint32) *client {
	c := g.dial()
	c.send([]byte(preface))
	var b []byte
	for i := 0; i < len(settings); i += 2 {
		b = appendSetting(b, uint16(settings[i]), settings[i+1])
	}
	c.frame(frameSettings, 0, 0, b)
	return c
}

func (c *client) send(b []byte) {
	c.t.Helper()
	_, err := c.Write(b)
	require.NoError(c.t, err)
}

func (c *client) frame(kind, flags uint8, stream uint32, payload []byte) {
	c.t.Helper()
	c.send(append(appendFrameHeader(nil, len(payload), kind, flags, stream), payload...))
}

// fields are a block of "name value" pairs; the usual pseudo fields come first unless the
// first pair is one.
func (c *client) fields(fields ...string) []byte {
	if len(fields) == 0 || !strings.HasPrefix(fields[0], ":") {
		fields = append([]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"}, fields...)
	}
	return c.encode(fields...)
}

// encode makes a block of "name value" pairs.
func (c *client) encode(fields ...string) []byte {
	c.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	return bytes.Clone(c.buf.Bytes())
}

// request sends a head.
func (c *client) request(stream uint32, end bool, fields ...string) {
	c.t.Helper()
	flags := uint8(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	c.frame(frameHeaders, flags, stream, c.fields(fields...))
}

func (c *client) data(stream uint32, end bool, text string) {
	c.t.Helper()
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	c.frame(frameData, flags, stream, []byte(text))
}

func (c *client) open(stream uint32, n int) {
	c.t.Helper()
	c.send(appendWindowUpdate(nil, stream, int64(n)))
}

// next reads a frame; ok is false at the end of the connection.
func (c *client) next() (h frameHeader, payload []byte, ok bool) {
	c.t.Helper()
	var b [headerSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		if e, late := err.(net.Error); late && e.Timeout() {
			c.t.Fatal("nothing comes")
		}
		return h, nil, false
	}
	h = parseFrameHeader(b[:])
	payload = make([]byte, h.length)
	if _, err := io.ReadFull(c, payload); err != nil {
		return h, nil, false
	}
	return h, payload, true
}

// event is what a frame says, in a word or two; empty for what every connection has.
func (c *client) event(h frameHeader, b []byte) string {
	end := ""
	if h.has(flagEndStream) {
		end = " end"
	}
	switch h.kind {
	case frameHeaders:
		fields, err := c.dec.DecodeFull(b)
		require.NoError(c.t, err)
		first := "trailers"
		if len(fields) > 0 && fields[0].Name == ":status" {
			first, fields = fields[0].Value, fields[1:]
		}
		for _, f := range fields {
			if first == "trailers" {
				end = " " + f.Name + "=" + f.Value + end
			}
		}
		return fmt.Sprintf("%d %s%s", h.stream, first, end)
	case frameData:
		return fmt.Sprintf("%d data %d%s", h.stream, len(b), end)
	case frameRSTStream:
		return fmt.Sprintf("%d reset %s", h.stream, codeName(b))
	case frameGoAway:
		return "goaway " + codeName(b[4:])
	case framePing:
		if h.has(flagAck) {
			return "pong"
		}
		return "ping"
	}
	return ""
}

func codeName(b []byte) string {
	return [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
		"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
		"ENHANCE_YOUR_CALM"}[binary.BigEndian.Uint32(b)]
}

// wait reads up to the first event that begins with one of want, and returns it.
func (c *client) wait(want ...string) string {
	c.t.Helper()
	var events []string
	for {
		h, b, ok := c.next()
		if !ok {
			for _, w := range want {
				if w == "closed" {
					return w
				}
			}
			c.t.Fatalf("connection closed, want %q, got %q", want, events)
		}
		e := c.event(h, b)
		for _, w := range want {
			if e != "" && strings.HasPrefix(e, w) {
				return e
			}
		}
		events = append(events, e)
	}
}

// rest reads to the end of the connection and returns its events.
func (c *client) rest() (events []string) {
	c.t.Helper()
	for {
		h, b, ok := c.next()
		if !ok {
			return events
		}
		if e := c.event(h, b); e != "" {
			events = append(events, e)
		}
	}
}

// answer reads an answer on stream: its events, and its body.
func (c *client) answer(stream uint32) (events []string, body string) {
	c.t.Helper()
	prefix := fmt.Sprint(stream, " ")
	for {
		h, b, ok := c.next()
		if !ok {
			return append(events, "closed"), body
		}
		e := c.event(h, b)
		rest, mine := strings.CutPrefix(e, prefix)
		if !mine {
			if strings.HasPrefix(e, "goaway") {
				return append(events, e), body
			}
			continue
		}
		events = append(events, rest)
		if h.kind == frameData {
			body += string(b)
		}
		if h.kind == frameRSTStream || h.has(flagEndStream) {
			return events, body
		}
	}
}
