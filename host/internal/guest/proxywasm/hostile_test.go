package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// assembled is a module in the making whose imports come first.
type assembled struct {
	*Module
	imports map[string]int
}

const (
	heap    = 8192 // what its allocator gives
	scratch = 64   // for results
)

var i32NotEqual = []byte{0x47}

// typeOf is the type of a host function.
func typeOf(name string) Type {
	f := functions()[name]
	t := Type{}
	for _, c := range f.params {
		t.Params = append(t.Params, map[rune]byte{'i': I32, 'I': I64}[c])
	}
	if !f.none {
		t.Results = T(I32)
	}
	return t
}

// assemble is a module with these imports, a marker, an allocator that always gives the
// same place, and what code adds.
func assemble(imports []string, code func(m *assembled)) []byte {
	m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, map[string]int{}}
	for _, name := range imports {
		m.imports[name] = m.Import("env", name, typeOf(name))
	}
	m.ExportRaw("memory", 2, 0)
	m.export("proxy_abi_version_0_2_1", nil, nil)
	if code != nil {
		code(m)
	}
	return m.Bytes()
}

// export adds a callback.
func (m *assembled) export(name string, params, results []byte, code ...[]byte) {
	m.Export(name, m.Func(Sig(params, results), nil, code...))
}

func (m *assembled) allocator(code ...[]byte) { m.export("malloc", T(I32), T(I32), code...) }

func (m *assembled) configure(code ...[]byte) {
	m.export("proxy_on_configure", T(I32, I32), T(I32), Cat(code...), I32Const(1))
}

func (m *assembled) requestHeaders(code ...[]byte) {
	m.export("proxy_on_request_headers", T(I32, I32, I32), T(I32), Cat(code...), I32Const(0))
}

// expect calls a host function with constants, and traps on another status than want.
func (m *assembled) expect(want status, name string, args ...int64) []byte {
	return Cat(m.call(name, args...), I32Const(int64(want)), i32NotEqual, If(Empty, Unreachable))
}

func (m *assembled) call(name string, args ...int64) []byte {
	var code []byte
	for i, a := range args {
		if functions()[name].params[i] == 'I' {
			code = append(code, I64Const(a)...)
		} else {
			code = append(code, I32Const(a)...)
		}
	}
	return Cat(code, Call(m.imports[name]))
}

// engine runs real modules.
func engine(t testing.TB) *guest.Engine {
	e, err := guest.New(context.Background(), guest.Options{ABIs: []*guest.ABI{ABI()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

// load compiles and binds a module.
func load(t testing.TB, e *guest.Engine, wasm []byte, b Binding) (*Plugin, error) {
	m, err := e.Compile(context.Background(), "p", wasm)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	a := NewAdapter()
	if b.Name == "" {
		b.Name = "p"
	}
	if b.Fuel == 0 {
		b.Fuel = 1_000_000
	}
	if b.Memory == 0 {
		b.Memory = 1 << 20
	}
	p, err := a.Bind(context.Background(), e, m, b)
	if err == nil {
		t.Cleanup(func() {
			p.Close()
			a.Close()
		})
	}
	return p, err
}

func unknown(m *assembled) { m.Import("env", "proxy_frobnicate", Sig(T(I32), T(I32))) }

// refusedModule is a module that is not served, and a part of the reason.
type refusedModule struct {
	name string
	wasm []byte
	want string
}

func plain(m *assembled) { m.allocator(I32Const(heap)); m.requestHeaders() }

// broken are modules that cannot be loaded.
func broken() []refusedModule {
	return []refusedModule{
		{"unknown import", func() []byte {
			m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, nil}
			unknown(m)
			m.ExportRaw("memory", 2, 0)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `plugin "p": import: import refused: "env" "proxy_frobnicate" is unknown`},
		{"import of another type", func() []byte {
			m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, nil}
			m.Import("env", "proxy_log", Sig(T(I32, I64, I32), T(I32)))
			m.ExportRaw("memory", 2, 0)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `import refused: "env" "proxy_log" is (i32 i64 i32) -> (i32), want (i32 i32 i32) -> (i32)`},
		{"import of our own ABI", func() []byte {
			m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, nil}
			m.Import("wasmgate.log.v1", "write", Sig(T(I32, I32, I32), nil))
			m.ExportRaw("memory", 2, 0)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `import refused: "wasmgate.log.v1" "write" is unknown`},
		{"imported memory", func() []byte {
			m := &assembled{&Module{}, nil}
			m.ImportRaw("env", "memory", 2, 0, 1)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `import "env" "memory" is a memory, want only functions`},
		{"no memory", func() []byte {
			m := &assembled{&Module{}, nil}
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `no export "memory" of a memory`},
		{"layer 4", assemble(nil, func(m *assembled) {
			m.allocator(I32Const(heap))
			m.export("proxy_on_new_connection", T(I32), T(I32), I32Const(0))
		}), `plugin "p": module: no HTTP callback such as "proxy_on_request_headers": layer 4 and gRPC are not served`},
		{"timer on a route", assemble(nil, func(m *assembled) {
			m.allocator(I32Const(heap))
			m.export("proxy_on_tick", T(I32), nil)
		}), `plugin "p": config: the plugin has no HTTP callback: it can only be bound to the whole gateway, where it runs beside all requests`},
	}
}

// failing are modules whose start fails.
func failing() []refusedModule {
	forever := Loop(Empty, Br(0))
	return []refusedModule{
		{"configure traps", assemble(nil, func(m *assembled) { plain(m); m.configure(Unreachable) }), `plugin "p": proxy_on_configure: trap: `},
		{"configure never ends", assemble(nil, func(m *assembled) { plain(m); m.configure(forever) }), `plugin "p": proxy_on_configure: fuel: the call used up its fuel`},
		{"start never ends", assemble(nil, func(m *assembled) { plain(m); m.export("_initialize", nil, nil, forever) }), `plugin "p": _initialize: fuel: the call used up its fuel`},
		{"start function never ends", assemble(nil, func(m *assembled) { plain(m); m.Start = m.Func(Sig(nil, nil), nil, forever) + 1 }), `fuel: the call used up its fuel`},
		{"configure recurses", assemble(nil, func(m *assembled) {
			plain(m)
			f := m.Func(Sig(nil, nil), nil, Call(m.Next()))
			m.configure(Call(f))
		}), `plugin "p": proxy_on_configure: stack: the call recursed too deeply`},
		{"configure grows", assemble(nil, func(m *assembled) {
			plain(m)
			m.configure(Loop(Empty, I32Const(1), MemoryGrow, I32Const(-1), i32NotEqual, BrIf(0)), Unreachable)
		}), `plugin "p": proxy_on_configure: memory: memory cap of 1048576 bytes`},
		{"begins too large", func() []byte {
			m := &assembled{&Module{Memories: [][2]int{{17, -1}}}, nil}
			m.ExportRaw("memory", 2, 0)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			return m.Bytes()
		}(), `plugin "p": memory: module begins with 1114112 bytes of memory, want at most 1048576`},
		{"exits", func() []byte {
			m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, nil}
			exit := m.Import("wasi_unstable", "proc_exit", Sig(T(I32), nil))
			m.ExportRaw("memory", 2, 0)
			m.export("proxy_abi_version_0_2_0", nil, nil)
			plain(m)
			m.export("_start", nil, nil, I32Const(1), Call(exit))
			return m.Bytes()
		}(), `plugin "p": _start: trap: guest ended itself with code 1`},
	}
}

// TestRefusedAtLoad: what a module may be, and the exact reason why it is not served.
func TestRefusedAtLoad(t *testing.T) {
	e := engine(t)
	for _, c := range slices.Concat(broken(), failing()) {
		began := time.Now()
		_, err := load(t, e, c.wasm, Binding{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: took %s", c.name, took)
		}
	}
}

// TestGuestsThatEndTheirStart: TinyGo and old C++ guests exit with 0 when main is over.
func TestGuestsThatEndTheirStart(t *testing.T) {
	m := &assembled{&Module{Memories: [][2]int{{1, -1}}}, nil}
	exit := m.Import("wasi_snapshot_preview1", "proc_exit", Sig(T(I32), nil))
	m.ExportRaw("memory", 2, 0)
	m.export("proxy_abi_version_0_2_0", nil, nil)
	m.allocator(I32Const(heap))
	m.requestHeaders()
	m.export("_start", nil, nil, I32Const(0), Call(exit))
	if _, err := load(t, engine(t), m.Bytes(), Binding{}); err != nil {
		t.Error(err)
	}
}

// hostileCalls run in on_request_headers; want is what the request gets, empty when it passes.
var hostileCalls = map[string]struct {
	imports []string
	malloc  func(m *assembled) []byte
	code    func(m *assembled) []byte
	want    string
}{
	"never ends": {nil, nil, func(*assembled) []byte { return Loop(Empty, Br(0)) }, `plugin "p": proxy_on_request_headers: fuel: the call used up its fuel`},
	"traps":      {nil, nil, func(*assembled) []byte { return Unreachable }, `plugin "p": proxy_on_request_headers: trap: `},
	"recurses": {nil, nil, func(m *assembled) []byte { return Call(m.Func(Sig(nil, nil), nil, Call(m.Next()))) },
		`plugin "p": proxy_on_request_headers: stack: the call recursed too deeply`},
	"calls for ever": {[]string{"proxy_done"}, nil, func(m *assembled) []byte {
		return Loop(Empty, m.call("proxy_done"), Drop, Br(0))
	}, `plugin "p": proxy_on_request_headers: fuel: `},
	"allocator never ends": {[]string{"proxy_get_header_map_pairs"}, func(*assembled) []byte { return Cat(Loop(Empty, Br(0)), I32Const(0)) },
		func(m *assembled) []byte { return m.expect(0, "proxy_get_header_map_pairs", 0, scratch, scratch+4) }, `plugin "p": proxy_on_request_headers: fuel: the call used up its fuel`},
	"allocator traps": {[]string{"proxy_get_header_map_pairs"}, func(*assembled) []byte { return Unreachable },
		func(m *assembled) []byte { return m.expect(0, "proxy_get_header_map_pairs", 0, scratch, scratch+4) }, `plugin "p": proxy_on_request_headers: trap: `},
	"allocator lies": {[]string{"proxy_get_header_map_pairs"}, func(*assembled) []byte { return I32Const(-16) },
		func(m *assembled) []byte {
			return m.expect(statusInvalidMemory, "proxy_get_header_map_pairs", 0, scratch, scratch+4)
		}, ""},
	"allocator has nothing": {[]string{"proxy_get_header_map_pairs"}, func(*assembled) []byte { return I32Const(0) },
		func(m *assembled) []byte {
			return m.expect(statusInternal, "proxy_get_header_map_pairs", 0, scratch, scratch+4)
		}, ""},
	"allocator calls back": {[]string{"proxy_get_header_map_pairs"}, func(m *assembled) []byte {
		return Cat(m.expect(statusInternal, "proxy_get_header_map_pairs", 0, scratch, scratch+4), I32Const(heap))
	}, func(m *assembled) []byte {
		return m.expect(statusOK, "proxy_get_header_map_pairs", 0, scratch, scratch+4)
	}, ""},
	"allocator grows": {[]string{"proxy_get_header_map_pairs"}, func(*assembled) []byte {
		return Cat(I32Const(1), MemoryGrow, Drop, I32Const(heap))
	}, func(m *assembled) []byte {
		return m.expect(statusOK, "proxy_get_header_map_pairs", 0, scratch, scratch+4)
	}, ""},
	"result nowhere": {[]string{"proxy_get_header_map_pairs"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusInvalidMemory, "proxy_get_header_map_pairs", 0, -1, scratch), m.expect(statusInvalidMemory, "proxy_get_header_map_pairs", 0, scratch, 65533))
	}, ""},
	"pair bomb": {[]string{"proxy_set_header_map_pairs"}, nil, func(m *assembled) []byte {
		m.Data(1024, []byte("\xff\xff\xff\xff\x01\x00\x00\x00"))
		return m.expect(statusBadArgument, "proxy_set_header_map_pairs", 0, 1024, 4096)
	}, ""},
	"pairs that lie": {[]string{"proxy_set_header_map_pairs"}, nil, func(m *assembled) []byte {
		m.Data(1024, []byte("\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xffa\x00b\x00"))
		return m.expect(statusBadArgument, "proxy_set_header_map_pairs", 0, 1024, 16)
	}, ""},
	"all memory as pairs": {[]string{"proxy_set_header_map_pairs"}, nil, func(m *assembled) []byte {
		return m.expect(statusInvalidMemory, "proxy_set_header_map_pairs", 0, 0, -1)
	}, ""},
	"header split": {[]string{"proxy_add_header_map_value"}, nil, func(m *assembled) []byte {
		m.Data(1024, []byte("a: b\r\nname\x00"))
		return Cat(m.expect(statusBadArgument, "proxy_add_header_map_value", 0, 1024, 6, 1024, 1), m.expect(statusBadArgument, "proxy_add_header_map_value", 0, 1030, 4, 1024, 6),
			m.expect(statusBadArgument, "proxy_add_header_map_value", 0, 1030, 4, 1034, 1), m.expect(statusBadArgument, "proxy_add_header_map_value", 0, 1024, 0, 1024, 1))
	}, ""},
	"headers without end": {[]string{"proxy_add_header_map_value"}, nil, func(m *assembled) []byte {
		m.Data(1024, []byte("n"))
		return Loop(Empty, m.call("proxy_add_header_map_value", 0, 1024, 1, 1024, 1), I32Eqz, BrIf(0))
	}, `plugin "p": proxy_on_request_headers: fuel: `},
	"metrics without end": {[]string{"proxy_define_metric"}, nil, func(m *assembled) []byte {
		return m.expect(statusInternal, "proxy_define_metric", 0, 1024, 4, scratch)
	}, ""},
	"queues": {[]string{"proxy_enqueue_shared_queue", "proxy_dequeue_shared_queue"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusNotFound, "proxy_enqueue_shared_queue", 1, 0, 0), m.expect(statusNotFound, "proxy_dequeue_shared_queue", 1, scratch, scratch+4))
	}, ""},
	"closes the stream": {[]string{"proxy_close_stream"}, nil, func(m *assembled) []byte {
		return m.expect(statusOK, "proxy_close_stream", 0)
	}, "the plugin closed the stream"},
	"a reply without bounds": {[]string{"proxy_send_local_response"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusBadArgument, "proxy_send_local_response", 99, 0, 0, 0, 0, 0, 0, -1), m.expect(statusBadArgument, "proxy_send_local_response", 1000, 0, 0, 0, 0, 0, 0, -1),
			m.expect(statusInvalidMemory, "proxy_send_local_response", 200, 0, 0, 1, -1, 0, 0, -1))
	}, ""},
	"gRPC": {[]string{"proxy_grpc_call", "proxy_grpc_stream", "proxy_grpc_send", "proxy_grpc_cancel", "proxy_grpc_close"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusBadArgument, "proxy_grpc_call", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), m.expect(statusBadArgument, "proxy_grpc_stream", 0, 0, 0, 0, 0, 0, 0, 0, 0),
			m.expect(statusNotFound, "proxy_grpc_send", 7, 0, 0, 0), m.expect(statusNotFound, "proxy_grpc_cancel", 7), m.expect(statusNotFound, "proxy_grpc_close", 7))
	}, ""},
	"another's context": {[]string{"proxy_set_effective_context", "proxy_get_header_map_pairs"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusBadArgument, "proxy_set_effective_context", 77), m.expect(statusBadArgument, "proxy_set_effective_context", 0),
			m.expect(statusOK, "proxy_set_effective_context", 1), m.expect(statusBadArgument, "proxy_get_header_map_pairs", 0, scratch, scratch+4))
	}, ""},
	"shared data without end": {[]string{"proxy_set_shared_data"}, nil, func(m *assembled) []byte {
		return Cat(m.expect(statusInvalidMemory, "proxy_set_shared_data", 0, -1, 0, 1, 0), m.expect(statusBadArgument, "proxy_set_shared_data", 0, 5000, 0, 1, 0),
			m.expect(statusCASMismatch, "proxy_set_shared_data", 0, 1, 0, 1, 9))
	}, ""},
	"properties without end": {[]string{"proxy_set_property"}, nil, func(m *assembled) []byte {
		return Cat(I32Const(8), MemoryGrow, Drop, m.expect(statusInternal, "proxy_set_property", 0, 1, 0, 300<<10), m.expect(statusBadArgument, "proxy_set_property", 0, 0, 0, 1))
	}, ""},
}

func TestHostileCalls(t *testing.T) {
	e := engine(t)
	for name, c := range hostileCalls {
		t.Run(name, func(t *testing.T) {
			p, err := load(t, e, assemble(c.imports, func(m *assembled) {
				if c.malloc == nil {
					m.allocator(I32Const(heap))
				} else {
					m.allocator(c.malloc(m))
				}
				m.requestHeaders(c.code(m))
			}), Binding{VMs: 1})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second is served by what came in its place
				x, r := exchangeOf()
				x.Header.Add("x", "y")
				s, err := p.Open(t.Context(), Facts{Exchange: x})
				if err != nil {
					t.Fatal(err)
				}
				err = s.ServeRequest(t.Context(), r)
				s.Close(r, &x.Response)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
		})
	}
}

// TestHostileMoments: what breaks outside of requests costs its VM, and another is started.
func TestHostileMoments(t *testing.T) {
	e := engine(t)
	for name, add := range map[string]func(m *assembled){
		"proxy_on_tick":   func(m *assembled) { m.export("proxy_on_tick", T(I32), nil, Loop(Empty, Br(0))) },
		"proxy_on_log":    func(m *assembled) { m.export("proxy_on_log", T(I32), nil, Unreachable) },
		"proxy_on_delete": func(m *assembled) { m.export("proxy_on_delete", T(I32), nil, Unreachable) },
		"proxy_on_http_call_response": func(m *assembled) {
			m.export("proxy_on_http_call_response", T(I32, I32, I32, I32, I32), nil, Unreachable)
		},
		"proxy_on_queue_ready": func(m *assembled) { m.export("proxy_on_queue_ready", T(I32, I32), nil, Unreachable) },
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan guest.Kind, 1000)
			imports := []string{"proxy_set_tick_period_milliseconds", "proxy_http_call", "proxy_register_shared_queue", "proxy_enqueue_shared_queue"}
			p, err := load(t, e, assemble(imports, func(m *assembled) {
				m.allocator(I32Const(heap))
				head := string(appendPairs(nil, pairsOf(":method", "GET", ":path", "/", ":authority", "")))
				m.Data(1024, []byte("u"+head))
				m.configure(m.expect(statusOK, "proxy_set_tick_period_milliseconds", 1),
					m.expect(statusOK, "proxy_register_shared_queue", 1024, 1, scratch))
				m.requestHeaders(m.expect(statusInternal, "proxy_http_call", 1024, 1, 1025, int64(len(head)), 0, 0, 0, 0, 1000, scratch),
					m.call("proxy_enqueue_shared_queue", 1, 1024, 1), Drop)
				add(m)
			}), Binding{VMs: 1, Upstreams: map[string]string{"u": "http://u"}, Called: func(export string, _ time.Duration, _ uint64, kind guest.Kind) {
				if export == name && kind != "" {
					failed <- kind
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				x, r := exchangeOf()
				s, err := p.Open(t.Context(), Facts{Exchange: x})
				if err == nil {
					err = s.ServeRequest(t.Context(), r)
					s.Close(r, &x.Response)
				}
				if name != "proxy_on_tick" && name != "proxy_on_queue_ready" && err != nil {
					t.Error(err)
				}
			}
			if name == "proxy_on_http_call_response" { // the engine makes no calls here
				return
			}
			if kind := <-failed; kind != map[bool]guest.Kind{true: guest.KindFuel, false: guest.KindTrap}[name == "proxy_on_tick"] {
				t.Errorf("kind %q", kind)
			}
		})
	}
}

// TestWildPointersOfAGuest gives every host function pointers and lengths outside of memory
// from inside a guest: it gets a status, and lives.
func TestWildPointersOfAGuest(t *testing.T) {
	var names []string
	for name := range functions() {
		names = append(names, name)
	}
	slices.Sort(names)
	wasm := assemble(names, func(m *assembled) {
		m.allocator(I32Const(heap))
		var code []byte
		for _, name := range names {
			f := functions()[name]
			for _, wild := range []int64{-1, -16, 65535, 1 << 30} {
				args := make([]int64, len(f.params))
				for i := range args {
					args[i] = wild
				}
				code = Cat(code, m.call(name, args...))
				if !f.none {
					code = Cat(code, Drop)
				}
			}
		}
		m.requestHeaders(code)
		m.configure(code)
	})
	p, err := load(t, engine(t), wasm, Binding{Metrics: fakeMetrics{}})
	if err != nil {
		t.Fatal(err)
	}
	x, r := exchangeOf()
	s, err := p.Open(t.Context(), Facts{Exchange: x})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeRequest(t.Context(), r); err != nil {
		t.Error(err)
	}
	s.Close(r, &x.Response)
}

// TestUnknownActionsPause: a guest that returns what no version knows is taken for one that
// pauses, not for one that lets the request pass.
func TestUnknownActionsPause(t *testing.T) {
	p, err := load(t, engine(t), assemble(nil, func(m *assembled) {
		m.allocator(I32Const(heap))
		m.export("proxy_on_request_headers", T(I32, I32, I32), T(I32), I32Const(77))
	}), Binding{})
	if err != nil {
		t.Fatal(err)
	}
	x, r := exchangeOf()
	s, err := p.Open(t.Context(), Facts{Exchange: x})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.ServeRequest(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want it to wait until the client goes", err)
	}
	s.Close(r, &x.Response)
}

// FuzzHostFunctions calls host functions with any words, on a guest whose memory holds any
// bytes, in a request and in a start.
func FuzzHostFunctions(f *testing.F) {
	var names []string
	for name := range functions() {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range names {
		f.Add(uint8(i), []byte("\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00a\x00b\x00:path"), uint32(1024), uint32(16), uint32(1024), uint32(4), uint32(0), uint32(8))
	}
	f.Fuzz(func(t *testing.T, n uint8, memory []byte, a, b, c, d, e, g uint32) {
		words := []uint32{a, b, c, d, e, g, a, b, c, d, e, g}
		name := names[int(n)%len(names)]
		call := func(guest *fakeGuest, _ []uint64) uint64 {
			copy(guest.memory[1024:], memory)
			f := functions()[name]
			w := make([]uint64, max(len(f.params), 1))
			for i := range f.params {
				w[i] = uint64(words[i])
			}
			f.serve(guest.v, w)
			if s := status(w[0]); !f.none && s > 12 {
				t.Errorf("%s%v: status %d", name, words, s)
			}
			return 1
		}
		p, err := tryStart(t, newAdapter(t), Binding{Metrics: fakeMetrics{}, Fuel: 1e9}, exports{"proxy_on_configure": call, "proxy_on_request_headers": call})
		if err != nil {
			t.Fatal(err)
		}
		x, r := exchangeOf()
		s := p.open(x)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.ServeRequest(ctx, r); err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Errorf("%s%v: %v", name, words, err)
		}
		checkHead(t, r, x)
		s.Close(r, &x.Response)
	})
}

// checkHead wants a head that can be written to the wire.
func checkHead(t *testing.T, r *Request, x *exchange.Exchange) {
	t.Helper()
	if !isToken([]byte(r.Method)) || !isTarget([]byte(r.Target)) || !isAuthority([]byte(r.Authority)) {
		t.Errorf("head %q %q %q", r.Method, r.Target, r.Authority)
	}
	for name, value := range x.Header.All() {
		if !isToken(name) || !isFieldValue(value) || isFraming(name) {
			t.Errorf("field %s", fmt.Sprintf("%q: %q", name, value))
		}
	}
}
