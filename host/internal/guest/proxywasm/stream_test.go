package proxywasm

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/wasmgate/wasmgate/host/internal/guest"
)

func TestHeadIsSeenAndChanged(t *testing.T) {
	var seen []string
	p := start(t, Binding{}, exports{
		"proxy_on_request_headers": func(g *fakeGuest, args []uint64) uint64 {
			for _, name := range []string{":method", ":path", ":authority", ":scheme", "X-Twice", "host", "absent"} {
				value, st := g.text("proxy_get_header_map_value", 0, name)
				seen = append(seen, value)
				if st != statusOK {
					seen[len(seen)-1] = "status " + string(rune('0'+st))
				}
			}
			g.host("proxy_replace_header_map_value", 0, ":path", "/changed?x=%20")
			g.host("proxy_replace_header_map_value", 0, "x-twice", "one")
			g.host("proxy_add_header_map_value", 0, "X-New", " v ")
			g.host("proxy_remove_header_map_value", 0, "gone")
			if st := g.host("proxy_add_header_map_value", 0, "x-split", "a\r\nb: c"); st != statusBadArgument {
				t.Errorf("a value with a line break: %d, want %d", st, statusBadArgument)
			}
			if st := g.host("proxy_get_header_map_size", 99, g.slot()); st != statusBadArgument {
				t.Errorf("an unknown map: %d, want %d", st, statusBadArgument)
			}
			if st := g.host("proxy_get_header_map_size", 2, g.slot()); st != statusBadArgument {
				t.Errorf("a map of another phase: %d, want %d", st, statusBadArgument)
			}
			return 0
		},
	})
	x, r := exchangeOf()
	for _, f := range pairsOf("x-twice", "1", "gone", "g", "x-twice", "2") {
		x.Header.AppendCopy(f.name, f.value)
	}
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := []string{"GET", "/a?b=c", "api.test", "https", "1", "api.test", "status 1"}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("the guest saw %q, want %q", seen, want)
	}
	if r.Target != "/changed?x=%20" || r.Method != "GET" {
		t.Errorf("target %q, method %q", r.Target, r.Method)
	}
	if got, want := fieldsOf(&x.Header), pairsOf("x-twice", "one", "x-new", "v"); !reflect.DeepEqual(got, want) {
		t.Errorf("headers %q, want %q", got, want)
	}
	s.Close(r, &x.Response)
	got := p.callbacks()
	end := []string{"proxy_on_context_create[1 0]", "proxy_on_context_create[2 1]", "proxy_on_request_headers[2 7 1]"}
	if !reflect.DeepEqual(got, end) {
		t.Errorf("callbacks %q, want %q", got, end)
	}
}

func TestBodyPassesInPieces(t *testing.T) {
	p := start(t, Binding{}, exports{
		"proxy_on_request_body": func(g *fakeGuest, args []uint64) uint64 {
			body, _ := g.text("proxy_get_buffer_bytes", 0, 0, 1<<20)
			g.host("proxy_set_buffer_bytes", 0, 0, len(body), strings.ToUpper(body))
			return 0
		},
	})
	x, r := exchangeOf()
	r.Body = iotest.OneByteReader(strings.NewReader("abc"))
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "ABC" {
		t.Errorf("body %q, %v", body, err)
	}
	want := []string{"proxy_on_request_body[2 1 0]", "proxy_on_request_body[2 1 0]", "proxy_on_request_body[2 1 0]", "proxy_on_request_body[2 0 1]"}
	if got := p.callbacks()[2:]; !reflect.DeepEqual(got, want) {
		t.Errorf("callbacks %q, want %q", got, want)
	}
	s.Close(r, &x.Response)
}

func TestBodyIsHeldBackAndItsLengthToldAnew(t *testing.T) {
	p := start(t, Binding{}, exports{
		"proxy_on_request_body": func(g *fakeGuest, args []uint64) uint64 {
			if args[2] == 0 {
				return 1
			}
			g.host("proxy_set_buffer_bytes", 0, 0, 0, "<")
			g.host("proxy_set_buffer_bytes", 0, 1000, 0, ">")
			g.host("proxy_set_buffer_bytes", 0, 1, 2, "..")
			return 0
		},
	})
	x, r := exchangeOf()
	r.Body, r.Length = iotest.HalfReader(strings.NewReader("abcdefgh")), 8
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if r.Length != 10 {
		t.Errorf("length %d, want 10", r.Length)
	}
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "<..cdefgh>" {
		t.Errorf("body %q, %v", body, err)
	}
	if got := p.callbacks(); got[len(got)-1] != "proxy_on_request_body[2 8 1]" {
		t.Errorf("last callback %q, want the sum of what was held back", got[len(got)-1])
	}
	s.Close(r, &x.Response)
}

func TestBodyOverTheBufferIsRefused(t *testing.T) {
	p := start(t, Binding{}, exports{"proxy_on_request_body": func(*fakeGuest, []uint64) uint64 { return 1 }})
	x, r := exchangeOf()
	r.Body, r.Length = io.LimitReader(zeros{}, maxBuffered+1), maxBuffered+1
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); !errors.Is(err, ErrBodyLimit) {
		t.Errorf("%v, want %v", err, ErrBodyLimit)
	}
	s.Close(r, &x.Response)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestStreamedBodyKeepsOrLosesItsLength(t *testing.T) {
	const size = 300 << 10
	for _, rewrite := range []bool{false, true} {
		p := start(t, Binding{}, exports{"proxy_on_request_body": func(g *fakeGuest, args []uint64) uint64 {
			if rewrite {
				g.host("proxy_set_buffer_bytes", 0, 0, 0, "+")
			}
			g.next = 1024
			return 0
		}})
		x, r := exchangeOf()
		r.Body, r.Length = io.LimitReader(zeros{}, size), size
		s := p.open(x)
		if err := s.ServeRequest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int64{false: size, true: -1}[rewrite]; r.Length != want {
			t.Errorf("rewrite %v: length %d, want %d", rewrite, r.Length, want)
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || rewrite != (n > size) {
			t.Errorf("rewrite %v: %d bytes, %v", rewrite, n, err)
		}
		s.Close(r, &x.Response)
	}
}

func TestBodyRewrittenAfterItsLengthWentOutIsBrokenOff(t *testing.T) {
	p := start(t, Binding{}, exports{"proxy_on_request_body": func(g *fakeGuest, args []uint64) uint64 {
		if args[2] == 1 {
			g.host("proxy_set_buffer_bytes", 0, 0, 0, "more")
		}
		return 0
	}})
	x, r := exchangeOf()
	r.Body, r.Length = io.LimitReader(zeros{}, 200<<10), 200<<10
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, r.Body)
	if want := "the plugin made a body of 204804 bytes of one of 204800 whose length was sent"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	s.Close(r, &x.Response)
}

func TestPauseAndContinueByACall(t *testing.T) {
	release := make(chan struct{})
	calls := callerFunc(func(ctx context.Context, c guest.Outbound) (guest.Answer, error) {
		<-release
		return guest.Answer{Status: 200, Headers: []guest.Header{{Name: "x-answer", Value: c.Method + " " + c.URL + " " + c.Authority}}, Body: []byte("yes")}, nil
	})
	p := start(t, Binding{HTTP: calls, Upstreams: map[string]string{"auth": "http://10.0.0.1:80"}}, exports{
		"proxy_on_request_headers": func(g *fakeGuest, args []uint64) uint64 {
			headers := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/check", ":authority", "")))
			if st := g.host("proxy_http_call", "nobody", headers, "", "", 1000, g.slot()); st != statusBadArgument {
				t.Errorf("an upstream that is not granted: %d, want %d", st, statusBadArgument)
			}
			twice := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/check", ":authority", "a", ":path", "/other")))
			if st := g.host("proxy_http_call", "auth", twice, "", "", 1000, g.slot()); st != statusBadArgument {
				t.Errorf("a pseudo header twice: %d, want %d", st, statusBadArgument)
			}
			id := g.slot()
			if st := g.host("proxy_http_call", "auth", headers, "", "", 1000, id); st != statusOK || g.u32(id) == 0 {
				t.Errorf("call: %d, id %d", st, g.u32(id))
			}
			close(release)
			return 1
		},
		"proxy_on_http_call_response": func(g *fakeGuest, args []uint64) uint64 {
			answer, _ := g.text("proxy_get_header_map_value", 6, "x-answer")
			body, _ := g.text("proxy_get_buffer_bytes", 4, 0, 100)
			if st := g.host("proxy_set_effective_context", 99); st != statusBadArgument {
				t.Errorf("an unknown context: %d, want %d", st, statusBadArgument)
			}
			g.host("proxy_set_effective_context", 2)
			if again, _ := g.text("proxy_get_buffer_bytes", 4, 0, 100); again != body {
				t.Errorf("the call's body from the stream's context: %q, want %q", again, body)
			}
			g.host("proxy_add_header_map_value", 0, "x-said", answer+" "+body)
			if st := g.host("proxy_continue_stream", 0); st != statusOK {
				t.Errorf("continue: %d", st)
			}
			return 0
		},
	})
	x, r := exchangeOf()
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := string(x.Header.Get("x-said")); got != "GET http://10.0.0.1:80/check  yes" {
		t.Errorf("header %q", got)
	}
	s.Close(r, &x.Response)
}

type callerFunc func(context.Context, guest.Outbound) (guest.Answer, error)

func (f callerFunc) Do(ctx context.Context, c guest.Outbound) (guest.Answer, error) { return f(ctx, c) }

func TestContinueInsideItsOwnCallback(t *testing.T) {
	for _, action := range []uint64{0, 1} {
		p := start(t, Binding{}, exports{"proxy_on_request_headers": func(g *fakeGuest, _ []uint64) uint64 {
			g.host("proxy_continue_stream", 0)
			return action
		}, "proxy_on_request_body": func(g *fakeGuest, _ []uint64) uint64 { return 0 }})
		x, r := exchangeOf()
		r.Body = strings.NewReader("x")
		s := p.open(x)
		if err := s.ServeRequest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r.Body); string(b) != "x" || err != nil {
			t.Errorf("body %q, %v", b, err)
		}
		s.Close(r, &x.Response)
	}
}

func TestReplyFromTheBody(t *testing.T) {
	p := start(t, Binding{}, exports{
		"proxy_on_request_body": func(g *fakeGuest, args []uint64) uint64 {
			headers := string(appendPairs(nil, pairsOf("set-cookie", "a", "Set-Cookie", "b", "content-length", "99")))
			if st := g.host("proxy_send_local_response", 403, "why", "no", headers, int(int32(-1))); st != statusOK {
				t.Errorf("reply: %d", st)
			}
			return 0
		},
		"proxy_on_response_headers": func(g *fakeGuest, args []uint64) uint64 {
			status, _ := g.text("proxy_get_header_map_value", 2, ":status")
			g.host("proxy_add_header_map_value", 2, "x-saw", status)
			return 0
		},
		"proxy_on_response_body": func(g *fakeGuest, args []uint64) uint64 {
			g.host("proxy_set_buffer_bytes", 1, 0, 100, "never")
			return 0
		},
	})
	x, r := exchangeOf()
	r.Body = io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errors.New("nobody reads on")))
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); !errors.Is(err, ErrReplied) {
		t.Fatalf("%v, want %v", err, ErrReplied)
	}
	reply := s.Reply()
	if got, want := fieldsOf(&reply.Header), pairsOf("set-cookie", "a", "set-cookie", "b", "content-type", "text/plain"); !reflect.DeepEqual(got, want) || reply.Status != 403 || reply.Details != "why" {
		t.Errorf("reply %d %q %q", reply.Status, got, reply.Details)
	}
	resp := &x.Response
	resp.Status, resp.Header = reply.Status, reply.Header
	resp.SetBody(reply.Body)
	if err := s.ServeResponse(t.Context(), resp, false); err != nil {
		t.Fatal(err)
	}
	if string(resp.Header.Get("x-saw")) != "403" || string(resp.Body) != "never" || resp.Length != 5 {
		t.Errorf("response %q %q %d", resp.Header.Get("x-saw"), resp.Body, resp.Length)
	}
	s.Close(r, resp)
}

func TestATrapCostsItsVMsStreams(t *testing.T) {
	began := make(chan struct{}, 8)
	p := start(t, Binding{VMs: 1}, exports{
		"proxy_on_request_headers": func(g *fakeGuest, args []uint64) uint64 {
			if args[1] > 4 {
				panic(errTrap)
			}
			began <- struct{}{}
			return 1
		},
	})
	waiting, first := exchangeOf()
	a := p.open(waiting)
	failed := make(chan error, 1)
	go func() { failed <- a.ServeRequest(t.Context(), first) }() // waited for below
	<-began
	x, r := exchangeOf()
	x.Header.Add("x", "y")
	b := p.open(x)
	if err := b.ServeRequest(t.Context(), r); err == nil || err.Error() != "unreachable" {
		t.Errorf("the stream that traps: %v", err)
	}
	if err := <-failed; err == nil || err.Error() != "unreachable" {
		t.Errorf("the stream that waits: %v", err)
	}
	a.Close(first, &waiting.Response)
	b.Close(r, &x.Response)
	again, next := exchangeOf()
	c := p.open(again) // by a new VM
	if c.v == b.v {
		t.Error("the VM that broke serves on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.ServeRequest(ctx, next); !errors.Is(err, context.Canceled) {
		t.Errorf("a paused stream whose client goes: %v", err)
	}
	c.Close(next, &again.Response)
}

func TestManyStreamsContinuedFromOneTick(t *testing.T) {
	var mu sync.Mutex
	paused := map[uint64]bool{}
	const n = 20
	p := start(t, Binding{VMs: 1}, exports{
		"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
			g.host("proxy_set_tick_period_milliseconds", 1)
			return 1
		},
		"proxy_on_request_headers": func(g *fakeGuest, args []uint64) uint64 {
			mu.Lock()
			defer mu.Unlock()
			paused[args[0]] = true
			return 1
		},
		"proxy_on_tick": func(g *fakeGuest, _ []uint64) uint64 {
			mu.Lock()
			defer mu.Unlock()
			if len(paused) < n {
				return 0
			}
			for id := range paused {
				if st := g.host("proxy_set_effective_context", id); st == statusOK {
					g.host("proxy_continue_stream", 0)
				}
			}
			g.host("proxy_set_effective_context", 1)
			g.host("proxy_set_tick_period_milliseconds", 0)
			return 0
		},
	})
	var group sync.WaitGroup
	for range n {
		group.Go(func() { // waited for below
			x, r := exchangeOf()
			s, err := p.Open(t.Context(), Facts{Exchange: x})
			if err == nil {
				err = s.ServeRequest(t.Context(), r)
				s.Close(r, &x.Response)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestReplyInPlaceOfTheResponse(t *testing.T) {
	p := start(t, Binding{}, exports{"proxy_on_response_headers": func(g *fakeGuest, _ []uint64) uint64 {
		g.host("proxy_send_local_response", 418, "", "teapot", "", int(int32(-1)))
		return 0
	}})
	x, r := exchangeOf()
	s := p.open(x)
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	x.Response.Status = 200
	if err := s.ServeResponse(t.Context(), &x.Response, false); !errors.Is(err, ErrReplied) || s.Reply().Status != 418 {
		t.Errorf("%v", err)
	}
	s.Close(r, &x.Response)
}

func TestResponseStreamsAndItsTrailersChange(t *testing.T) {
	p := start(t, Binding{}, exports{
		"proxy_on_response_body": func(g *fakeGuest, args []uint64) uint64 { return 0 },
		"proxy_on_response_trailers": func(g *fakeGuest, args []uint64) uint64 {
			if st := g.host("proxy_add_header_map_value", 3, "content-length", "3"); st != statusBadArgument {
				t.Errorf("framing as a trailer: %d, want %d", st, statusBadArgument)
			}
			g.host("proxy_add_header_map_value", 3, "x-added", "1")
			return 0
		},
	})
	x, r := exchangeOf()
	s := p.open(x)
	x.Response.Status, x.Response.Length = 200, -1
	x.Response.Stream = &closer{Reader: io.MultiReader(strings.NewReader("one"), strings.NewReader("two"))}
	x.Response.Trailer.Add("x-checksum", "abc")
	if err := s.ServeResponse(t.Context(), &x.Response, false); err != nil {
		t.Fatal(err)
	}
	stream := x.Response.Stream
	if b, err := io.ReadAll(stream); string(b) != "onetwo" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if got, want := fieldsOf(&x.Response.Trailer), pairsOf("x-checksum", "abc", "x-added", "1"); !reflect.DeepEqual(got, want) {
		t.Errorf("trailers %q, want %q", got, want)
	}
	stream.Close()
	s.Close(r, &x.Response)
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestEndIsToldInOrder(t *testing.T) {
	nothing := func(*fakeGuest, []uint64) uint64 { return 0 }
	p := start(t, Binding{}, exports{"proxy_on_log": func(g *fakeGuest, _ []uint64) uint64 {
		path, _ := g.text("proxy_get_header_map_value", 0, ":path")
		status, _ := g.text("proxy_get_header_map_value", 2, ":status")
		if path != "/a?b=c" || status != "204" {
			t.Errorf("log sees %q and %q", path, status)
		}
		if st := g.host("proxy_add_header_map_value", 2, "a", "b"); st != statusBadArgument {
			t.Errorf("a change when all is over: %d", st)
		}
		return 0
	}, "proxy_on_done": nothing, "proxy_on_delete": nothing})
	x, r := exchangeOf()
	s := p.open(x)
	x.Response.Status = 204
	s.Close(r, &x.Response)
	if got, want := p.callbacks()[2:], []string{"proxy_on_log[2]", "proxy_on_done[2]", "proxy_on_delete[2]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
