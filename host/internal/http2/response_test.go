package http2

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

type answerFunc func(r *exchange.Response)

func (f answerFunc) ServeExchange(x *exchange.Exchange) { f(&x.Response) }

// closer tells that it was closed.
type closer struct {
	io.Reader
	closed *int
}

func (c *closer) Close() error { *c.closed++; return nil }

// ready is a stream of which something is there.
type ready struct{ closer }

func (r *ready) Buffered() int { return 1 }

func TestAnswers(t *testing.T) {
	closed := 0
	stream := func(text string) io.ReadCloser { return &closer{strings.NewReader(text), &closed} }
	for _, k := range []struct {
		name   string
		method string
		answer answerFunc
		want   []string // without content-length and date
		head   string   // fields of the head
		body   string
		sent   int64
		err    error
	}{
		{name: "whole", answer: func(r *exchange.Response) { r.Status = 200; r.SetBody([]byte("hello")) },
			want: []string{"200", "data 5 end"}, head: "content-length=5", body: "hello", sent: 5},
		{name: "empty", answer: func(r *exchange.Response) { r.Status = 201; r.SetBody(nil) },
			want: []string{"201 end"}, head: "content-length=0"},
		{name: "HEAD", method: "HEAD", answer: func(r *exchange.Response) { r.Status = 200; r.SetBody([]byte("hello")) },
			want: []string{"200 end"}, head: "content-length=5"},
		{name: "HEAD with a length", method: "HEAD", answer: func(r *exchange.Response) { r.Status, r.Length = 200, 7 },
			want: []string{"200 end"}, head: "content-length=7"},
		{name: "HEAD of unknown length", method: "HEAD", answer: func(r *exchange.Response) { r.Status, r.Length = 200, -1 },
			want: []string{"200 end"}},
		{name: "HEAD with a stream", method: "HEAD", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, 5, stream("hello") },
			want: []string{"200 end"}, head: "content-length=5"},
		{name: "204", answer: func(r *exchange.Response) { r.Status = 204; r.SetBody([]byte("x")) }, want: []string{"204 end"}},
		{name: "304", answer: func(r *exchange.Response) { r.Status, r.Length = 304, 9 }, want: []string{"304 end"}},
		{name: "stream", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, stream("hello") },
			want: []string{"200", "data 5", "data 0 end"}, body: "hello", sent: 5},
		{name: "stream that ends with its last bytes", answer: func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, 5, io.NopCloser(endingWith("hello"))
		}, want: []string{"200", "data 5 end"}, head: "content-length=5", body: "hello", sent: 5},
		{name: "stream that is ready", answer: func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, 5, &ready{closer{strings.NewReader("hello"), &closed}}
		}, want: []string{"200", "data 5", "data 0 end"}, head: "content-length=5", body: "hello", sent: 5},
		{name: "empty stream", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, stream("") },
			want: []string{"200", "data 0 end"}},
		{name: "trailers", answer: func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, -1, stream("hello")
			r.Trailer.Add("x-sum", "1")
		}, want: []string{"200", "data 5", "trailers x-sum=1 end"}, body: "hello", sent: 5},
		{name: "trailers that may not be", answer: func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, -1, stream("hello")
			r.Trailer.Add("content-length", "1")
		}, want: []string{"200", "data 5", "reset INTERNAL_ERROR"}, body: "hello", sent: 5, err: errTrailer},
		{name: "short stream", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, 6, stream("hello") },
			want: []string{"200", "data 5", "reset INTERNAL_ERROR"}, head: "content-length=6", body: "hello", sent: 5, err: errCut},
		{name: "long stream", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, 4, stream("hello") },
			want: []string{"200", "reset INTERNAL_ERROR"}, head: "content-length=4", err: errCut},
		{name: "broken stream", answer: func(r *exchange.Response) {
			r.Status, r.Length, r.Stream = 200, -1, io.NopCloser(io.MultiReader(strings.NewReader("hello"), broken{}))
		}, want: []string{"200", "data 5", "reset INTERNAL_ERROR"}, body: "hello", sent: 5, err: errBroken},
		{name: "stream that panics", answer: func(r *exchange.Response) { r.Status, r.Length, r.Stream = 200, -1, io.NopCloser(panicking{}) },
			want: []string{"200", "reset INTERNAL_ERROR"}, err: errPanic},
		{name: "nobody answered", answer: func(r *exchange.Response) {},
			want: []string{"500", "data 35 end"}, body: `{"message":"Internal server error"}`, sent: 35},
		{name: "splitting", answer: func(r *exchange.Response) { r.Status = 200; r.Header.Add("x", "a\r\nb") },
			want: []string{"502", "data 35 end"}, body: `{"message":"Internal server error"}`, sent: 35},
		{name: "upper-case field", answer: func(r *exchange.Response) { r.Status = 200; r.Header.Add("X", "a") },
			want: []string{"502", "data 35 end"}, body: `{"message":"Internal server error"}`, sent: 35},
		{name: "connection-specific fields", answer: func(r *exchange.Response) {
			r.Status = 200
			for _, name := range []string{"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "x"} {
				r.Header.Add(name, "9")
			}
			r.SetBody(nil)
		}, want: []string{"200 end"}, head: "x=9 content-length=0"},
		{name: "date of its own", answer: func(r *exchange.Response) { r.Status = 200; r.Header.Add("date", "then"); r.SetBody(nil) },
			want: []string{"200 end"}, head: "date=then content-length=0"},
	} {
		t.Run(k.name, func(t *testing.T) {
			finished := make(chan error, 1)
			var sent int64
			g := start(t, &sentFinisher{k.answer, &sent, finished}, nil)
			c := g.greet()
			method := k.method
			if method == "" {
				method = "GET"
			}
			c.request(1, true, ":method", method, ":scheme", "https", ":authority", "a", ":path", "/")
			events, head, body := c.wholeAnswer()
			require.Equal(t, k.want, events)
			if k.sent != 35 {
				require.Equal(t, k.head, head)
			}
			require.Equal(t, k.body, body)
			require.ErrorIs(t, <-finished, k.err)
			require.Equal(t, k.sent, sent)
		})
	}
	require.Equal(t, 8, closed)
}

// wholeAnswer reads the answer on stream 1: its events, the fields of its head but for
// those that each has, and its body.
func (c *client) wholeAnswer() (events []string, head, body string) {
	for {
		h, b, ok := c.next()
		require.True(c.t, ok)
		if h.kind == frameHeaders && len(events) == 0 {
			fields, err := c.dec.DecodeFull(b)
			require.NoError(c.t, err)
			events = append(events, fields[0].Value+map[bool]string{true: " end"}[h.has(flagEndStream)])
			for _, f := range fields[1:] {
				if !strings.HasPrefix(f.Name, "x-amzn") && f.Name != "content-type" && f.Value != "Mon, 23 Nov 2026 12:00:00 GMT" {
					head = strings.TrimSpace(head + " " + f.Name + "=" + f.Value)
				}
			}
		} else if e := c.event(h, b); strings.HasPrefix(e, "1 ") {
			events = append(events, e[2:])
		}
		if h.kind == frameData {
			body += string(b)
		}
		if h.kind == frameRSTStream || h.stream == 1 && h.has(flagEndStream) {
			return events, head, body
		}
	}
}

type sentFinisher struct {
	exchange.Handler
	sent *int64
	errs chan error
}

func (f *sentFinisher) FinishExchange(x *exchange.Exchange, err error) {
	*f.sent = x.Response.Sent
	f.errs <- err
}

var errBroken = errors.New("upstream broke")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("upstream") }

// endingWith gives all it has together with io.EOF.
func endingWith(text string) io.Reader { return &lastWithEOF{text} }

type lastWithEOF struct{ text string }

func (l *lastWithEOF) Read(p []byte) (int, error) { return copy(p, l.text), io.EOF }

func TestLargeHeadNeedsContinuation(t *testing.T) {
	large := strings.Repeat("v", 40_000)
	g := start(t, answerFunc(func(r *exchange.Response) {
		r.Status = 200
		r.Header.Add("x", large)
		r.SetBody([]byte("hello"))
	}), nil)
	c := g.greet()
	c.request(1, true)
	var block bytes.Buffer
	for kind := uint8(frameHeaders); ; {
		h, b, ok := c.next()
		require.True(t, ok)
		if h.stream != 1 {
			continue
		}
		require.Equal(t, kind, h.kind)
		kind = frameContinuation
		block.Write(b)
		if h.has(flagEndHeaders) {
			break
		}
	}
	fields, err := c.dec.DecodeFull(block.Bytes())
	require.NoError(t, err)
	require.Equal(t, large, fields[1].Value)
	require.Equal(t, "1 data 5 end", c.wait("1 data"))
}

func TestInformational(t *testing.T) {
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		var link, bad exchange.Header
		link.Add("link", "</a.css>")
		bad.Add("x", "a\nb")
		x.Response.Status = 200
		if x.Informational(103, &link) != nil || x.Informational(101, nil) == nil || x.Informational(200, nil) == nil ||
			x.Informational(103, &bad) == nil || x.Informational(100, nil) != nil {
			x.Response.Status = 500
		}
		x.Response.SetBody(nil)
	}), nil)
	c := g.greet()
	c.request(1, true)
	require.Equal(t, "1 103", c.wait("1"))
	require.Equal(t, "1 200 end", c.wait("1"), "100 only for who asked")
}

// An answer before the end of the request is whole, and then the client is told to stop.
func TestEarlyAnswer(t *testing.T) {
	g := start(t, reply(5), nil)
	c := g.greet()
	c.request(1, false)
	c.data(1, false, "some")
	require.Equal(t, "1 data 5 end", c.wait("1 data"))
	require.Equal(t, "1 reset NO_ERROR", c.wait("1"))
	c.data(1, true, "what was on its way")
	c.request(3, true)
	require.Equal(t, "3 200", c.wait("3", "goaway"))
}

func TestResetCancelsContext(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		close(entered)
		<-x.Context.Done()
		left <- x.Context.Err()
	}), nil)
	c := g.greet()
	c.request(1, true)
	<-entered
	c.frame(frameRSTStream, 0, 1, []byte{0, 0, 0, byte(codeCancel)})
	require.Error(t, <-left)
}

func TestClientGoneCancelsContext(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		close(entered)
		<-x.Context.Done()
		close(left)
	}), nil)
	c := g.greet()
	c.request(1, true)
	<-entered
	c.Close()
	<-left
	g.settle(t)
}

func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		if x.Target == "/slow" {
			close(entered)
			<-leave
		}
		reply(5)(x)
	}), nil)
	get := func(c *client, id uint32, path string) {
		c.request(id, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", path)
	}
	idle, busy := g.greet(), g.greet()
	get(busy, 1, "/slow")
	get(idle, 1, "/")
	idle.answer(1)
	<-entered
	g.Drain()
	pong := func(c *client) {
		require.Equal(t, "goaway NO_ERROR", c.wait("goaway"))
		c.wait("ping")
		c.frame(framePing, flagAck, 0, drainPing[:])
	}
	pong(idle)
	require.Equal(t, []string{"goaway NO_ERROR"}, idle.rest())
	busy.wait("goaway")
	get(busy, 3, "/") // sent before it knew
	require.Equal(t, "3 data 5 end", busy.wait("3 data"))
	busy.frame(framePing, flagAck, 0, drainPing[:])
	busy.wait("goaway")
	get(busy, 5, "/") // nobody answers that any more
	busy.frame(framePing, 0, 0, make([]byte, 8))
	require.Equal(t, "pong", busy.wait("pong", "5"))
	close(leave)
	require.Equal(t, []string{"1 200", "1 data 5 end"}, busy.rest())
	late := g.greet() // was accepted just before
	get(late, 1, "/")
	require.Equal(t, "1 data 5 end", late.wait("1 data"))
	late.frame(framePing, flagAck, 0, drainPing[:])
	late.rest()
}

func TestCloseConnection(t *testing.T) {
	g := start(t, answerFunc(func(r *exchange.Response) { r.Status, r.CloseConnection = 200, true; r.SetBody(nil) }), nil)
	c := g.greet()
	c.request(1, true)
	c.wait("1 200 end")
	c.wait("goaway NO_ERROR")
	g.later(2e9)
	require.Equal(t, []string{"ping", "goaway NO_ERROR"}, c.rest())
}
