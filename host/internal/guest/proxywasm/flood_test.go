package proxywasm

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// counted calls a host function until it answers something else than OK, which must be want,
// after some number of times; before each call the number of the last is stored at 1024.
func (m *assembled) counted(want status, least, most int64, name string, args ...int64) []byte {
	const count = 1024
	one := Cat(I32Const(count), I32Const(count), I32Load(0), I32Const(1), I32Add, I32Store(0))
	return Cat(I32Const(count), I32Const(0), I32Store(0),
		Block(Empty, Loop(Empty, one, m.call(name, args...), LocalTee(3), BrIf(1), Br(0))),
		LocalGet(3), I32Const(int64(want)), i32NotEqual, If(Empty, Unreachable),
		I32Const(count), I32Load(0), I32Const(least), I32LtU, If(Empty, Unreachable),
		I32Const(most), I32Const(count), I32Load(0), I32LtU, If(Empty, Unreachable))
}

// TestFloods: what a guest can fill has an end, which a status tells, or it costs fuel.
func TestFloods(t *testing.T) {
	head := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/", ":authority", "")))
	var calls atomic.Int64
	e, err := guest.New(t.Context(), guest.Options{ABIs: []*guest.ABI{ABI()}, Logger: slog.New(slog.DiscardHandler),
		Powers: guest.Powers{HTTP: callerFunc(func(ctx context.Context, _ guest.Outbound) (guest.Answer, error) {
			calls.Add(1)
			<-ctx.Done()
			return guest.Answer{}, ctx.Err()
		})}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	for name, c := range map[string]struct {
		imports string
		code    func(m *assembled) []byte
		want    string
	}{
		"log": {"proxy_log", func(m *assembled) []byte {
			return Loop(Empty, m.call("proxy_log", 2, 0, 60000), Drop, Br(0))
		}, "proxy_on_request_headers: fuel: the call used up its fuel"},
		"shared data": {"proxy_set_shared_data", func(m *assembled) []byte {
			return m.counted(statusInternal, 64<<20/61000, 64<<20/60000+1, "proxy_set_shared_data", 1024, 4, 0, 60000, 0)
		}, ""},
		"queues": {"proxy_register_shared_queue", func(m *assembled) []byte {
			return m.counted(statusInternal, maxQueues, maxQueues+1, "proxy_register_shared_queue", 1024, 4, scratch)
		}, ""},
		"items of a queue": {"proxy_register_shared_queue proxy_enqueue_shared_queue", func(m *assembled) []byte {
			return Cat(m.expect(statusOK, "proxy_register_shared_queue", 0, 1, scratch),
				m.counted(statusInternal, maxQueued, maxQueued+1, "proxy_enqueue_shared_queue", 1, 0, 1))
		}, ""},
		"calls": {"proxy_http_call", func(m *assembled) []byte {
			m.Data(2048, []byte("u"+head))
			return m.counted(statusInternal, maxCalls+1, maxCalls+1, "proxy_http_call", 2048, 1, 2049, int64(len(head)), 0, 0, 0, 0, 29_000, scratch)
		}, ""},
		"headers": {"proxy_add_header_map_value", func(m *assembled) []byte {
			m.Data(2048, []byte("n"))
			return m.counted(statusBadArgument, maxPairs-100, maxPairs+1, "proxy_add_header_map_value", 0, 2048, 1, 2048, 1)
		}, ""},
		"replies": {"proxy_send_local_response", func(m *assembled) []byte {
			return Loop(Empty, m.call("proxy_send_local_response", 200, 0, 0, 0, 60000, 0, 0, -1), Drop, Br(0))
		}, "proxy_on_request_headers: fuel: the call used up its fuel"},
		"ticks": {"proxy_set_tick_period_milliseconds", func(m *assembled) []byte {
			return Loop(Empty, m.call("proxy_set_tick_period_milliseconds", 1), Drop, Br(0))
		}, "proxy_on_request_headers: fuel: the call used up its fuel"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, e, assemble(strings.Fields(c.imports), func(m *assembled) {
				m.allocator(I32Const(heap))
				m.Export("proxy_on_request_headers", m.Func(Sig(T(I32, I32, I32), T(I32)), T(I32), c.code(m), I32Const(0)))
			}), Binding{VMs: 1, Fuel: 50_000_000, Upstreams: map[string]string{"u": "http://u"}})
			if err != nil {
				t.Fatal(err)
			}
			x, r := exchangeOf()
			s, err := p.Open(t.Context(), Facts{Exchange: x})
			if err != nil {
				t.Fatal(err)
			}
			err = s.ServeRequest(t.Context(), r)
			s.Close(r, &x.Response)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if n := calls.Load(); n > maxCalls {
		t.Errorf("%d calls at once, want at most %d", n, maxCalls)
	}
}
