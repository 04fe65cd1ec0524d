package proxywasm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// inRoot binds a plugin whose on_configure is f.
func inRoot(t *testing.T, b Binding, f func(g *fakeGuest)) {
	t.Helper()
	called := false
	start(t, b, exports{"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
		called = true
		f(g)
		return 1
	}})
	if !called {
		t.Fatal("on_configure was not called")
	}
}

func (g *fakeGuest) expect(t *testing.T, want status, name string, args ...any) {
	t.Helper()
	if got := g.host(name, args...); got != want {
		t.Errorf("%s%v: status %d, want %d", name, args, got, want)
	}
}

func TestConfigByteForByte(t *testing.T) {
	for _, config := range []string{"", "plain", "a\x00\xff\u00e9", "{}"} {
		inRoot(t, Binding{Config: []byte(config)}, func(g *fakeGuest) {
			if got, st := g.text("proxy_get_buffer_bytes", 7, 0, 1<<20); got != config || st != statusOK {
				t.Errorf("config %q, %d, want %q", got, st, config)
			}
			if got, st := g.text("proxy_get_configuration"); got != config || st != statusOK {
				t.Errorf("config of 0.1.0 %q, %d, want %q", got, st, config)
			}
			g.expect(t, statusBadArgument, "proxy_set_buffer_bytes", 7, 0, 0, "x")
		})
	}
}

func TestStatusesOutsideOfStreams(t *testing.T) {
	inRoot(t, Binding{}, func(g *fakeGuest) {
		g.expect(t, statusBadArgument, "proxy_log", 6, "x")
		g.expect(t, statusOK, "proxy_log", 5, "x")
		g.expect(t, statusBadArgument, "proxy_get_buffer_bytes", 9, 0, 1, g.slot(), g.slot())
		g.expect(t, statusNotFound, "proxy_get_buffer_bytes", 0, 0, 1, g.slot(), g.slot())
		g.expect(t, statusBadArgument, "proxy_get_buffer_bytes", 7, 0xffffffff, 1, g.slot(), g.slot())
		g.expect(t, statusNotFound, "proxy_done")
		g.expect(t, statusNotFound, "proxy_call_foreign_function", "compress", "", 0, 0)
		g.expect(t, statusBadArgument, "proxy_continue_stream", 0)
		g.expect(t, statusBadArgument, "proxy_continue_stream", 2)
		g.expect(t, statusBadArgument, "proxy_send_local_response", 200, "", "", "", 0)
		g.expect(t, statusBadArgument, "proxy_grpc_call", "s", "s", "m", "", "", 1000, g.slot())
		g.expect(t, statusBadArgument, "proxy_set_effective_context", 7)
		g.expect(t, statusOK, "proxy_set_effective_context", 1)
		if got, st := g.text("proxy_get_property", "plugin_root_id"); got != "" || st != statusOK {
			t.Errorf("plugin_root_id %q, %d", got, st)
		}
		if got, _ := g.text("proxy_get_property", "plugin_vm_id"); got != "p" {
			t.Errorf("plugin_vm_id %q", got)
		}
		g.expect(t, statusNotFound, "proxy_get_property", "request\x00path", g.slot(), g.slot())
		g.expect(t, statusOK, "proxy_set_property", "mine", "v")
		if got, _ := g.text("proxy_get_property", "mine"); got != "v" {
			t.Errorf("mine %q", got)
		}
	})
}

// TestWildPointers calls every host function with each of its pointers outside of memory.
func TestWildPointers(t *testing.T) {
	const wild = 0xfffffff0
	inputs := map[string]int{ // how many pointers and lengths stand first
		"proxy_log": 3, "proxy_get_log_level": 1, "proxy_get_current_time_nanoseconds": 1, "proxy_set_buffer_bytes": 5,
		"proxy_set_header_map_pairs": 3, "proxy_get_header_map_value": 3, "proxy_add_header_map_value": 5, "proxy_replace_header_map_value": 5,
		"proxy_remove_header_map_value": 3, "proxy_get_status": 3, "proxy_send_local_response": 7, "proxy_http_call": 8, "proxy_set_shared_data": 4,
		"proxy_get_shared_data": 2, "proxy_register_shared_queue": 3, "proxy_resolve_shared_queue": 5, "proxy_enqueue_shared_queue": 3,
		"proxy_dequeue_shared_queue": 3, "proxy_define_metric": 4, "proxy_get_property": 2, "proxy_set_property": 4, "proxy_call_foreign_function": 6,
		"proxy_get_configuration": 2,
	}
	inRoot(t, Binding{Config: []byte("c")}, func(g *fakeGuest) {
		for name, f := range functions() {
			words := make([]uint64, max(len(f.params), 1))
			for i := range words {
				words[i] = wild
			}
			f.serve(g.v, words) // no panic, no write
			got := status(words[0])
			if _, ok := inputs[name]; ok && got != statusInvalidMemory {
				t.Errorf("%s: status %d, want %d", name, got, statusInvalidMemory)
			}
			if got > 12 && !f.none {
				t.Errorf("%s: status %d is none of the specification", name, got)
			}
		}
	})
}

func TestAllocatorIsNotTrusted(t *testing.T) {
	for _, c := range []struct {
		name  string
		alloc func(g *fakeGuest, args []uint64) uint64
		want  status
		err   string
	}{
		{"none left", func(*fakeGuest, []uint64) uint64 { return 0 }, statusInternal, ""},
		{"outside", func(*fakeGuest, []uint64) uint64 { return 0xfffffff0 }, statusInvalidMemory, ""},
		{"traps", func(*fakeGuest, []uint64) uint64 { panic(errTrap) }, 0, "unreachable"},
		{"calls back", func(g *fakeGuest, args []uint64) uint64 {
			if _, st := g.text("proxy_get_buffer_bytes", 7, 0, 10); st != statusInternal {
				t.Errorf("a host function inside the allocator: %d, want %d", st, statusInternal)
			}
			if st := g.host("proxy_log", 2, "from the allocator"); st != statusOK {
				t.Errorf("the log inside the allocator: %d", st)
			}
			at, _ := g.put("0123456789")
			return at
		}, statusOK, ""},
	} {
		got := status(99)
		_, err := tryStart(t, newAdapter(t), Binding{Config: []byte("config")}, exports{"malloc": c.alloc,
			"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
				_, got = g.text("proxy_get_buffer_bytes", 7, 0, 10)
				return 1
			}})
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: status %d, %v, want %d", c.name, got, err, c.want)
		}
	}
}

func TestRefusalsAtStart(t *testing.T) {
	for _, c := range []struct {
		export string
		want   string
	}{
		{"proxy_on_vm_start", "the plugin refuses to start: proxy_on_vm_start returned false"},
		{"proxy_on_configure", "the plugin refuses its config: proxy_on_configure returned false"},
	} {
		_, err := tryStart(t, newAdapter(t), Binding{}, exports{c.export: func(*fakeGuest, []uint64) uint64 { return 0 }})
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

type fakeMetric struct{ atomic.Int64 }

func (m *fakeMetric) Add(d int64)     { m.Int64.Add(d) }
func (m *fakeMetric) Record(v uint64) { m.Store(int64(v)) }
func (m *fakeMetric) Value() uint64   { return uint64(m.Load()) }

type fakeMetrics struct{}

func (fakeMetrics) Metric(_ MetricKind, name string) Metric {
	if name == "too many" {
		return nil
	}
	return new(fakeMetric)
}

func TestMetrics(t *testing.T) {
	inRoot(t, Binding{Metrics: fakeMetrics{}}, func(g *fakeGuest) {
		define := func(kind int, name string) uint64 {
			id := g.slot()
			g.expect(t, statusOK, "proxy_define_metric", kind, name, id)
			return uint64(g.u32(id))
		}
		counter, gauge, histogram := define(0, "c"), define(1, "g"), define(2, "h")
		if again := define(0, "c"); again != counter || counter == 0 {
			t.Errorf("defined again: %d, want %d", again, counter)
		}
		g.expect(t, statusBadArgument, "proxy_define_metric", 3, "x", g.slot())
		g.expect(t, statusInternal, "proxy_define_metric", 0, "too many", g.slot())
		minus := ^uint64(1)
		g.expect(t, statusOK, "proxy_increment_metric", counter, 5)
		g.expect(t, statusBadArgument, "proxy_increment_metric", counter, minus)
		g.expect(t, statusBadArgument, "proxy_record_metric", counter, 5)
		g.expect(t, statusOK, "proxy_record_metric", gauge, 10)
		g.expect(t, statusOK, "proxy_increment_metric", gauge, minus)
		g.expect(t, statusOK, "proxy_record_metric", histogram, 10)
		g.expect(t, statusBadArgument, "proxy_increment_metric", histogram, 10)
		g.expect(t, statusNotFound, "proxy_increment_metric", 99, 1)
		for id, want := range map[uint64]uint64{counter: 5, gauge: 8} {
			at := g.slot()
			g.expect(t, statusOK, "proxy_get_metric", id, at)
			if got := binary.LittleEndian.Uint64(g.memory[at:]); got != want {
				t.Errorf("metric %d: %d, want %d", id, got, want)
			}
		}
		g.expect(t, statusNotFound, "proxy_get_metric", 99, g.slot())
		g.expect(t, statusInvalidMemory, "proxy_get_metric", counter, slot(1<<31))
	})
}

func TestProperties(t *testing.T) {
	got := map[string]string{}
	p := start(t, Binding{}, exports{"proxy_on_response_headers": func(g *fakeGuest, _ []uint64) uint64 {
		for _, path := range []string{"request.path", "request.url_path", "request.query", "request.protocol", "request.headers.x-a", "request.host",
			"response.code", "source.address", "destination.address", "destination.port", "connection.tls_version", "connection.id", "connection.mtls",
			"plugin_name", "route_name", "request.nothing", "nothing", "request.headers.absent", "upstream.address", "mine", "cluster_name"} {
			value, st := g.text("proxy_get_property", strings.ReplaceAll(path, ".", "\x00"))
			if got[path] = fmt.Sprintf("%q", value); st != statusOK {
				got[path] = fmt.Sprint("status ", st)
			}
		}
		return 0
	}, "proxy_on_request_headers": func(g *fakeGuest, _ []uint64) uint64 {
		g.expect(t, statusNotFound, "proxy_get_property", "response\x00code", g.slot(), g.slot())
		g.expect(t, statusOK, "proxy_set_property", "mine", "kept")
		return 0
	}})
	x, r := exchangeOf()
	x.Conn = &exchange.Conn{Protocol: "HTTP/2.0", TLSVersion: "TLSv1.3", ID: 3, Local: netip.MustParseAddrPort("10.0.0.2:443")}
	x.Remote = netip.MustParseAddrPort("[2001:db8::1]:5000")
	x.Header.Add("x-a", "1")
	s, err := p.Open(t.Context(), Facts{Exchange: x, Route: "GET /a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	x.Response.Status, x.Upstream = 201, netip.MustParseAddrPort("10.0.0.9:80")
	if err := s.ServeResponse(t.Context(), &x.Response, false); err != nil {
		t.Fatal(err)
	}
	s.Close(r, &x.Response)
	want := map[string]string{
		"request.path": `"/a?b=c"`, "request.url_path": `"/a"`, "request.query": `"b=c"`, "request.protocol": `"HTTP/2"`, "request.headers.x-a": `"1"`,
		"request.host": `"api.test"`, "response.code": `"\xc9\x00\x00\x00\x00\x00\x00\x00"`, "source.address": `"[2001:db8::1]:5000"`,
		"destination.address": `"10.0.0.2:443"`, "destination.port": `"\xbb\x01\x00\x00\x00\x00\x00\x00"`, "connection.tls_version": `"TLSv1.3"`,
		"connection.id": `"\x03\x00\x00\x00\x00\x00\x00\x00"`, "connection.mtls": `"\x00"`, "plugin_name": `"p"`, "route_name": `"GET /a"`,
		"request.nothing": "status 1", "nothing": "status 1", "request.headers.absent": "status 1", "upstream.address": `"10.0.0.9:80"`, "mine": `"kept"`,
		"cluster_name": "status 1",
	}
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s: %s, want %s", path, got[path], want[path])
		}
	}
}

func TestSharedQueueReachesAnotherPlugin(t *testing.T) {
	a := newAdapter(t)
	received := make(chan string, 3)
	if _, err := tryStart(t, a, Binding{Name: "receiver", VMs: 2}, exports{
		"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
			g.expect(t, statusOK, "proxy_register_shared_queue", "q", g.slot())
			return 1
		},
		"proxy_on_queue_ready": func(g *fakeGuest, args []uint64) uint64 {
			item, st := g.text("proxy_dequeue_shared_queue", args[1])
			if st != statusOK {
				t.Errorf("dequeue: %d", st)
			}
			received <- item
			return 0
		},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, a, Binding{Name: "sender"}, exports{"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
		g.expect(t, statusNotFound, "proxy_resolve_shared_queue", "receiver", "other", g.slot())
		g.expect(t, statusNotFound, "proxy_enqueue_shared_queue", 1, "guessed")
		id := g.slot()
		g.expect(t, statusOK, "proxy_resolve_shared_queue", "receiver", "q", id)
		for i := range 3 {
			g.expect(t, statusOK, "proxy_enqueue_shared_queue", int(g.u32(id)), fmt.Sprint("item ", i))
		}
		return 1
	}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if got, want := <-received, fmt.Sprint("item ", i); got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

func TestCallsThatFail(t *testing.T) {
	got := make(chan string, 2)
	block := callerFunc(nil)
	block = func(ctx ctxType, c outboundType) (answerType, error) {
		if c.URL == "http://u/slow" {
			<-ctx.Done()
			return answerType{}, ctx.Err()
		}
		return answerType{}, errTrap
	}
	start(t, Binding{HTTP: block, Upstreams: map[string]string{"u": "http://u"}}, exports{
		"proxy_on_configure": func(g *fakeGuest, _ []uint64) uint64 {
			for i, path := range []string{"/broken", "/slow"} {
				head := string(appendPairs(nil, pairsOf(":method", "GET", ":path", path, ":authority", "a")))
				g.expect(t, statusOK, "proxy_http_call", "u", head, "", "", []int{29_000, 1}[i], g.slot())
			}
			return 1
		},
		"proxy_on_http_call_response": func(g *fakeGuest, args []uint64) uint64 {
			status, _ := g.text("proxy_get_header_map_value", 6, ":status")
			got <- fmt.Sprint(args[1], " ", status, " ", args[2] > 0)
			return 0
		},
	})
	seen := map[string]bool{<-got: true, <-got: true}
	if want := map[string]bool{"1 503 true": true, "2 504 true": true}; !reflect.DeepEqual(seen, want) {
		t.Errorf("answers %v, want %v", seen, want)
	}
}

func TestDoneThatWaits(t *testing.T) {
	deleted := make(chan struct{})
	p, err := tryStart(t, newAdapter(t), Binding{}, exports{
		"proxy_on_done": func(g *fakeGuest, _ []uint64) uint64 {
			g.host("proxy_set_tick_period_milliseconds", 1)
			return 0
		},
		"proxy_on_tick":   func(g *fakeGuest, _ []uint64) uint64 { g.host("proxy_done"); return 0 },
		"proxy_on_delete": func(*fakeGuest, []uint64) uint64 { close(deleted); return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	<-deleted
}
