package proxywasm

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// slow is a body whose pieces come when a test sends them, and that can be interrupted.
type slow struct {
	*io.PipeReader
	reads chan struct{} // one for each Read that begins
}

func (s *slow) Read(p []byte) (int, error) {
	s.reads <- struct{}{}
	n, err := s.PipeReader.Read(p)
	if err == io.ErrClosedPipe {
		err = exchange.ErrInterrupted
	}
	return n, err
}

func (s *slow) Interrupt() { s.CloseWithError(exchange.ErrInterrupted) }

func newSlow() (*slow, *io.PipeWriter) {
	r, w := io.Pipe()
	return &slow{r, make(chan struct{}, 100)}, w
}

// resuming is a plugin that holds back the first piece of a body, asks somebody, and
// continues when the answer comes.
func resuming(t *testing.T, callback string, stream int, answer chan struct{}) *fakePlugin {
	return start(t, Binding{HTTP: callerFunc(func(ctx context.Context, _ guest.Outbound) (guest.Answer, error) {
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return guest.Answer{Status: 200}, nil
	}), Upstreams: map[string]string{"auth": "http://10.0.0.1"}}, exports{
		callback: func(g *fakeGuest, args []uint64) uint64 {
			if args[1] != 3 || args[2] == 1 {
				return 0
			}
			head := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/", ":authority", "")))
			g.expect(t, statusOK, "proxy_http_call", "auth", head, "", "", 29_000, g.slot())
			return 1
		},
		"proxy_on_http_call_response": func(g *fakeGuest, _ []uint64) uint64 {
			g.expect(t, statusOK, "proxy_set_effective_context", 2)
			g.expect(t, statusOK, "proxy_continue_stream", stream)
			return 0
		},
	})
}

// What a guest held back goes on as soon as it continues: the client or the upstream may send
// its next piece much later, or only after it has seen what the first brought.
func TestContinueInTheMiddleOfABody(t *testing.T) {
	for name, test := range map[string]struct {
		callback string
		stream   int
		body     func(t *testing.T, s *Stream, source *slow) io.Reader
	}{
		"request": {"proxy_on_request_body", 0, func(t *testing.T, s *Stream, source *slow) io.Reader {
			_, r := exchangeOf()
			r.Body = source
			if err := s.ServeRequest(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			return r.Body
		}},
		"response": {"proxy_on_response_body", 1, func(t *testing.T, s *Stream, source *slow) io.Reader {
			resp := &exchange.Response{Status: 200, Length: -1, Stream: source}
			if err := s.ServeResponse(t.Context(), resp, false); err != nil {
				t.Fatal(err)
			}
			return resp.Stream
		}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := make(chan struct{})
			p := resuming(t, test.callback, test.stream, answer)
			x, r := exchangeOf()
			s := p.open(x)
			source, client := newSlow()
			body := test.body(t, s, source)
			type piece struct {
				text string
				err  error
			}
			got := make(chan piece)
			read := func() {
				b := make([]byte, 100)
				n, err := body.Read(b)
				got <- piece{string(b[:n]), err}
			}
			go read() // got waits for it
			io.WriteString(client, "one")
			<-source.reads // of the first piece
			<-source.reads // the second is waited for: the first is held back
			close(answer)
			if g := <-got; g != (piece{"one", nil}) { // and the client has sent nothing more
				t.Fatalf("got %v", g)
			}
			go read() // got waits for it
			io.WriteString(client, "and two")
			if g := <-got; g != (piece{"and two", nil}) {
				t.Fatalf("got %v", g)
			}
			client.Close()
			if rest, err := io.ReadAll(body); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			s.Close(r, &x.Response)
		})
	}
}

// held is a stream whose plugin holds back the first piece of a request's body, of which a
// Read is under way; it sends to got.
func held(t *testing.T, answer chan struct{}, got chan error) (body io.Reader, source *slow, client *io.PipeWriter, end func()) {
	p := resuming(t, "proxy_on_request_body", 0, answer)
	x, r := exchangeOf()
	source, client = newSlow()
	r.Body = source
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(client, "one") // ends with the pipe
	go func() {                      // got waits for it
		_, err := r.Body.Read(make([]byte, 100))
		got <- err
	}()
	<-source.reads
	<-source.reads
	return r.Body, source, client, func() {
		x.Response.Status = 200
		if err := s.ServeResponse(t.Context(), &x.Response, true); err != nil {
			t.Error(err)
		}
		s.Close(r, &x.Response)
	}
}

// An exchange that ends while a piece is waited for leaves nobody behind who reads the
// client: what it sends next is another request.
func TestEndInTheMiddleOfABody(t *testing.T) {
	got := make(chan error)
	body, source, _, end := held(t, make(chan struct{}), got)
	body.(exchange.Interrupter).Interrupt()
	if err := <-got; !errors.Is(err, exchange.ErrInterrupted) {
		t.Errorf("%v, want interrupted", err)
	}
	end()
	if n := len(source.reads); n != 0 {
		t.Errorf("%d more reads", n)
	}
}

// The same where nobody interrupts: the guest let go what was there, and the rest is not
// wanted any more.
func TestEndBeforeTheBodys(t *testing.T) {
	got, answer := make(chan error), make(chan struct{})
	body, _, client, end := held(t, answer, got)
	close(answer)
	if err := <-got; err != nil {
		t.Error(err)
	}
	end()
	if _, err := client.Write([]byte("two")); !errors.Is(err, exchange.ErrInterrupted) {
		t.Errorf("%v, want that nobody reads any more", err)
	}
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, exchange.ErrInterrupted) {
		t.Errorf("%v, want interrupted", err)
	}
}

// Trailers of a call's answer are a map of their own.
func TestTrailersOfACall(t *testing.T) {
	got := make(chan string, 2)
	start(t, Binding{HTTP: callerFunc(func(context.Context, guest.Outbound) (guest.Answer, error) {
		return guest.Answer{Status: 200, Trailers: []guest.Header{{Name: "x-sum", Value: "7"}}}, nil
	}), Upstreams: map[string]string{"u": "http://u"}}, exports{
		"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
			head := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/", ":authority", "a")))
			g.expect(t, statusOK, "proxy_http_call", "u", head, "", "", 29_000, g.slot())
			return 1
		},
		"proxy_on_http_call_response": func(g *fakeGuest, args []uint64) uint64 {
			if args[4] != 1 {
				t.Errorf("%d trailers, want 1", args[4])
			}
			pairs, _ := g.text("proxy_get_header_map_pairs", mapCallTrailers)
			value, _ := g.text("proxy_get_header_map_value", mapCallTrailers, "X-Sum")
			got <- pairs
			got <- value
			return 0
		},
	})
	if pairs := <-got; pairs != string(appendPairs(nil, pairsOf("x-sum", "7"))) {
		t.Errorf("pairs %q", pairs)
	}
	if value := <-got; value != "7" {
		t.Errorf("value %q", value)
	}
}

// An exchange that the plugin has not seen has a context for its log alone.
func TestLogOfWhatWasNotSeen(t *testing.T) {
	nothing := func(*fakeGuest, []uint64) uint64 { return 0 }
	seen := ""
	p := start(t, Binding{}, exports{"proxy_on_log": func(g *fakeGuest, _ []uint64) uint64 {
		path, _ := g.text("proxy_get_header_map_value", 0, ":path")
		status, _ := g.text("proxy_get_header_map_value", 2, ":status")
		seen = path + " " + status
		return 0
	}, "proxy_on_request_headers": nothing, "proxy_on_delete": nothing})
	x, r := exchangeOf()
	x.Response.Status = 403
	p.Log(Facts{Exchange: x}, r, &x.Response)
	if seen != "/a?b=c 403" {
		t.Errorf("the log sees %q", seen)
	}
	want := []string{"proxy_on_context_create[1 0]", "proxy_on_context_create[2 1]", "proxy_on_log[2]", "proxy_on_delete[2]"}
	if got := p.callbacks(); len(got) != 4 || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("%q, want %q", got, want)
	}
	if n := p.vms[0].load.Load(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
