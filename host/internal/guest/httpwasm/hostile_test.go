package httpwasm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// outside is a place behind all memory.
var outside = I32Const(-65536)

// evil is what a guest may do in a call, and what that call gets.
type evil struct {
	code func(h *Handler) []byte
	kind guest.Kind
	text string
}

func wild(name string, args func(h *Handler) [][]byte) evil {
	return evil{func(h *Handler) []byte {
		code := h.Call(name, args(h)...)
		switch name {
		case "set_method", "set_uri", "log", "set_header_value", "add_header_value", "remove_header", "write_body", "set_status_code":
			return code
		}
		return Cat(code, Drop)
	}, guest.KindTrap, name + ": "}
}

func args(a ...[]byte) func(*Handler) [][]byte { return func(*Handler) [][]byte { return a } }

// evils are those of both calls.
func evils() map[string]evil {
	out := map[string]evil{
		"unreachable":       {func(*Handler) []byte { return Unreachable }, guest.KindTrap, "unreachable"},
		"endless loop":      {func(*Handler) []byte { return Loop(Empty, Br(0)) }, guest.KindFuel, "the call used up its fuel"},
		"endless host call": {func(h *Handler) []byte { return Loop(Empty, h.Get("get_uri"), Drop, Drop, Br(0)) }, guest.KindFuel, "fuel"},
		"endless recursion": {func(h *Handler) []byte { return Call(h.Func(Sig(nil, nil), nil, Call(h.Next()))) }, guest.KindStack, "recursed too deeply"},
		"memory bomb": {func(*Handler) []byte {
			return Cat(Loop(Empty, I32Const(16), MemoryGrow, I32Const(-1), []byte{0x47}, BrIf(0)), Unreachable)
		}, guest.KindMemory, "memory cap of 4194304 bytes"},
		"wild load": {func(*Handler) []byte { return Cat(I32Const(-8), I32Load(0), Drop) }, guest.KindTrap, "out of bounds"},
		"log bomb": {func(h *Handler) []byte {
			return Loop(Empty, h.Call("log", I32Const(0), h.Room()), Br(0))
		}, guest.KindFuel, "fuel"},
	}
	for _, name := range []string{"get_method", "get_uri", "get_protocol_version", "get_source_addr", "get_config"} {
		out[name+" outside"] = wild(name, args(outside, I32Const(65536)))
	}
	for _, kind := range []int64{0, 1} {
		out[fmt.Sprint("names outside ", kind)] = wild("get_header_names", args(I32Const(kind), outside, I32Const(-1)))
		out[fmt.Sprint("values outside ", kind)] = wild("get_header_values", func(h *Handler) [][]byte {
			return [][]byte{I32Const(kind), h.Text("x-there"), outside, I32Const(-1)}
		})
		out[fmt.Sprint("name outside ", kind)] = wild("get_header_values", func(h *Handler) [][]byte {
			return [][]byte{I32Const(kind), outside, I32Const(7), h.Room()}
		})
		out[fmt.Sprint("no name ", kind)] = wild("get_header_values", func(h *Handler) [][]byte {
			return [][]byte{I32Const(kind), I32Const(0), I32Const(0), h.Room()}
		})
	}
	for _, kind := range []int64{4, -1, 1 << 30} {
		out[fmt.Sprint("names of kind ", kind)] = wild("get_header_names", args(I32Const(kind), I32Const(Room), I32Const(9)))
		out[fmt.Sprint("set of kind ", kind)] = wild("set_header_value", func(h *Handler) [][]byte {
			return [][]byte{I32Const(kind), h.Text("a"), h.Text("b")}
		})
		out[fmt.Sprint("body of kind ", kind)] = wild("read_body", args(I32Const(kind), I32Const(Room), I32Const(9)))
		out[fmt.Sprint("write of kind ", kind)] = wild("write_body", args(I32Const(kind), I32Const(Room), I32Const(9)))
	}
	out["log outside"] = wild("log", args(I32Const(0), outside, I32Const(70000)))
	out["log of everything"] = wild("log", args(I32Const(0), I32Const(0), I32Const(-1)))
	return out
}

// early are those of handle_request alone, late of handle_response alone.
func early() map[string]evil {
	out := map[string]evil{}
	for name, text := range map[string]string{"no method": "", "CONNECT": "CONNECT", "method with a blank": "G T", "method with a break": "GET\r\nX: y"} {
		out[name] = wild("set_method", func(h *Handler) [][]byte { return [][]byte{h.Text(text)} })
	}
	for name, text := range map[string]string{"relative": "a", "absolute": "http://other/", "uri with a blank": "/a b", "uri with a break": "/a\r\nX: y", "fragment": "/a#b", "asterisk": "*", "half escape": "/%2", "query alone": "?a"} {
		out[name] = wild("set_uri", func(h *Handler) [][]byte { return [][]byte{h.Text(text)} })
	}
	out["asterisk of another method"] = evil{func(h *Handler) []byte {
		return Cat(h.Call("set_method", h.Text("OPTIONS")), h.Call("set_uri", h.Text("*")), h.Call("set_method", h.Text("GET")))
	}, guest.KindTrap, `set_method: "GET" for the URI "*", want OPTIONS`}
	for _, kind := range []int64{0, 1, 2, 3} {
		for name, field := range map[string][2]string{"name with a blank": {"a b", "c"}, "name with a break": {"a\n", "c"}, "no name": {"", "c"}, "value with a break": {"a", "b\r\nc: d"}, "value with a NUL": {"a", "b\x00"}, "colon": {":path", "/"}} {
			for _, f := range []string{"set_header_value", "add_header_value"} {
				out[fmt.Sprint(f, " ", name, " ", kind)] = wild(f, func(h *Handler) [][]byte {
					return [][]byte{I32Const(kind), h.Text(field[0]), h.Text(field[1])}
				})
			}
		}
		out[fmt.Sprint("remove no name ", kind)] = wild("remove_header", args(I32Const(kind), I32Const(0), I32Const(0)))
		out[fmt.Sprint("name of everything ", kind)] = wild("remove_header", args(I32Const(kind), I32Const(0), I32Const(-1)))
		out[fmt.Sprint("value outside ", kind)] = wild("set_header_value", func(h *Handler) [][]byte {
			return [][]byte{I32Const(kind), h.Text("a"), outside, I32Const(70000)}
		})
	}
	for name, host := range map[string]string{"host with a path": "a/b", "host with a user": "a@b", "no host": ""} {
		out[name] = wild("set_header_value", func(h *Handler) [][]byte { return [][]byte{I32Const(0), h.Text("Host"), h.Text(host)} })
	}
	out["trailer that is none"] = wild("set_header_value", func(h *Handler) [][]byte { return [][]byte{I32Const(2), h.Text("authorization"), h.Text("b")} })
	for _, status := range []int64{0, 99, 100, 101, 600, 1000, -1} {
		out[fmt.Sprint("status ", status)] = wild("set_status_code", args(I32Const(status)))
	}
	for _, kind := range []int64{0, 1} {
		out[fmt.Sprint("body outside ", kind)] = wild("read_body", args(I32Const(kind), outside, I32Const(65537)))
		out[fmt.Sprint("room for all ", kind)] = wild("read_body", args(I32Const(kind), I32Const(0), I32Const(-1)))
		out[fmt.Sprint("no room ", kind)] = wild("read_body", args(I32Const(kind), I32Const(Room), I32Const(0)))
		out[fmt.Sprint("write outside ", kind)] = wild("write_body", args(I32Const(kind), outside, I32Const(65537)))
		out[fmt.Sprint("write bomb ", kind)] = evil{func(h *Handler) []byte {
			return Loop(Empty, h.Call("write_body", I32Const(kind), h.Room()), Br(0))
		}, guest.KindTrap, "want at most 16777216"}
	}
	return out
}

func late() map[string]evil {
	after := func(name string, args func(h *Handler) [][]byte) evil {
		e := wild(name, args)
		e.text = "after the request went on"
		return e
	}
	out := map[string]evil{
		"set_method":      after("set_method", func(h *Handler) [][]byte { return [][]byte{h.Text("GET")} }),
		"set_uri":         after("set_uri", func(h *Handler) [][]byte { return [][]byte{h.Text("/")} }),
		"request's body":  after("write_body", func(h *Handler) [][]byte { return [][]byte{I32Const(0), h.Text("x")} }),
		"response's body": after("write_body", func(h *Handler) [][]byte { return [][]byte{I32Const(1), h.Text("x")} }),
		"read request":    after("read_body", func(h *Handler) [][]byte { return [][]byte{I32Const(0), h.Room()} }),
		"read response":   after("read_body", func(h *Handler) [][]byte { return [][]byte{I32Const(1), h.Room()} }),
		"status":          after("set_status_code", args(I32Const(200))),
		"features set late": {func(h *Handler) []byte {
			return Cat(h.Call("enable_features", I32Const(2)), Drop, h.Call("set_status_code", I32Const(200)))
		}, guest.KindTrap, "after the request went on, unless buffer_response is enabled"},
	}
	for _, kind := range []int64{0, 1, 2, 3} {
		for _, f := range []string{"set_header_value", "add_header_value"} {
			out[fmt.Sprint(f, " ", kind)] = after(f, func(h *Handler) [][]byte { return [][]byte{I32Const(kind), h.Text("a"), h.Text("b")} })
		}
		out[fmt.Sprint("remove_header ", kind)] = after("remove_header", func(h *Handler) [][]byte { return [][]byte{I32Const(kind), h.Text("a")} })
	}
	return out
}

// Each costs its own call with an exact error, in bounded time, and its instance; the next
// request is served by another.
func TestHostile(t *testing.T) {
	limits := httpwasm.Binding{Config: []byte("c"), Fuel: 5_000_000, Memory: 4 << 20}
	harmless := message{header: []string{"x-there: 1"}}
	begun := time.Now()
	check := func(t *testing.T, export string, e evil, err error) {
		t.Helper()
		failure, ok := errors.AsType[*guest.Error](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, e.kind, failure.Kind, "%v", err)
		assert.ErrorContains(t, err, fmt.Sprintf("plugin %q: %s: %s: ", "x", export, e.kind))
		assert.ErrorContains(t, err, e.text)
	}
	count := 0
	for _, list := range []map[string]evil{evils(), early()} {
		for name, e := range list {
			count++
			t.Run("handle_request/"+name, func(t *testing.T) {
				h := NewHandler()
				// Only a request of a body is met with evil.
				own := h.Call("add_header_value", I32Const(1), h.Text("x-there"), h.Text("1"))
				asked := Cat(h.Call("get_method", h.Room()), I32Const(4), []byte{0x46}, If(Empty, own, e.code(h)))
				p := bind(t, h.Build(Cat(asked, Go(0)), nowhere), limits, guest.Options{Instances: 1})
				s := p.Open(facts)
				r := message{method: "POST", body: "body", header: harmless.header}.request()
				check(t, "handle_request", e, s.ServeRequest(context.Background(), r))
				s.Close()
				pass(t, p, harmless, message{})
			})
		}
	}
	for _, list := range []map[string]evil{evils(), late()} {
		for name, e := range list {
			count++
			t.Run("handle_response/"+name, func(t *testing.T) {
				h := NewHandler()
				asked := Cat(h.Call("get_status_code"), I32Const(418), []byte{0x46}, If(Empty, e.code(h)))
				p := bind(t, h.Build(Go(0), asked), limits, guest.Options{Instances: 1})
				s := p.Open(facts)
				require.NoError(t, s.ServeRequest(context.Background(), harmless.request()))
				resp := message{status: 418, body: "teapot", header: harmless.header, chunked: true}.response()
				check(t, "handle_response", e, s.ServeResponse(context.Background(), resp, false, false))
				s.Close()
				assert.Equal(t, message{status: 418, body: "teapot", header: harmless.header, chunked: true}, answered(t, resp), "the answer is as it was")
				pass(t, p, harmless, message{})
			})
		}
	}
	assert.Greater(t, count, 150)
	assert.Less(t, time.Since(begun), time.Minute)
}

// What a failed guest has read of a body is not lost, or makes what goes on fail.
func TestBodyAfterAFailure(t *testing.T) {
	h := NewHandler()
	two := func(kind int64) []byte {
		return Cat(h.Call("read_body", I32Const(kind), I32Const(Room), I32Const(2)), Drop)
	}
	p := bind(t, h.Build(Cat(two(0), Unreachable), nowhere), httpwasm.Binding{}, guest.Options{})
	r := message{body: "12345", chunked: true}.request()
	require.Error(t, p.Open(facts).ServeRequest(context.Background(), r))
	assert.Equal(t, "12345", sent(t, r).body)

	h = NewHandler()
	p = bind(t, h.Build(Cat(h.Call("enable_features", I32Const(2)), Drop, Go(0)), Cat(two(1), Unreachable)), httpwasm.Binding{}, guest.Options{})
	s := p.Open(facts)
	require.NoError(t, s.ServeRequest(context.Background(), message{}.request()))
	resp := message{body: "12345", chunked: true}.response()
	require.Error(t, s.ServeResponse(context.Background(), resp, false, false))
	assert.Equal(t, "12345", answered(t, resp).body)

	h = NewHandler()
	p = bind(t, h.Build(Cat(two(0), h.Call("write_body", I32Const(0), h.Text("mine")), Unreachable), nowhere), httpwasm.Binding{}, guest.Options{})
	r = message{body: "12345", chunked: true}.request()
	require.Error(t, p.Open(facts).ServeRequest(context.Background(), r))
	_, err := r.Body.Read(make([]byte, 9))
	assert.ErrorContains(t, err, "a plugin that failed has read a part of the body")
}

// What is refused at load, with the reason.
func TestLoad(t *testing.T) {
	start := func(code func(h *Handler) []byte) func(*Handler) {
		return func(h *Handler) { h.Start = h.Func(Sig(nil, nil), nil, code(h)) + 1 }
	}
	for name, c := range map[string]struct {
		change func(h *Handler)
		kind   guest.Kind
		text   string
	}{
		"trap in start":        {start(func(*Handler) []byte { return Unreachable }), guest.KindTrap, "unreachable"},
		"loop in start":        {start(func(*Handler) []byte { return Loop(Empty, Br(0)) }), guest.KindFuel, "fuel"},
		"request in start":     {start(func(h *Handler) []byte { return h.Call("set_method", h.Text("GET")) }), guest.KindTrap, "set_method: there is no request yet"},
		"trap in _initialize":  {func(h *Handler) { h.Export("_initialize", h.Func(Sig(nil, nil), nil, Unreachable)) }, guest.KindTrap, "_initialize: trap"},
		"exit in _start":       {func(h *Handler) { exits(h, 1) }, guest.KindTrap, "guest ended itself with code 1"},
		"type of _start":       {func(h *Handler) { h.Export("_start", h.Func(Sig(T(I32), nil), nil)) }, guest.KindModule, `export "_start" is (i32) -> (), want () -> ()`},
		"large from the start": {func(h *Handler) { h.Memories[0][0] = 100 }, guest.KindMemory, "module begins with 6553600 bytes of memory, want at most 4194304"},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHandler()
			c.change(h)
			e, m, err := compile(t, h.Build(Go(0), nowhere), guest.Options{})
			if err == nil {
				defer m.Release()
				_, err = httpwasm.Bind(context.Background(), e, m, httpwasm.Binding{Name: "x", Memory: 4 << 20})
			}
			failure, ok := errors.AsType[*guest.Error](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, c.kind, failure.Kind, "%v", err)
			assert.ErrorContains(t, err, c.text)
		})
	}
	good := NewHandler()
	exits(good, 0) // what TinyGo's main does at its end
	pass(t, bind(t, good.Build(Go(0), nowhere), httpwasm.Binding{}, guest.Options{}), message{}, message{})
}

// exits adds a _start that ends the guest.
func exits(h *Handler, code int64) {
	exit := h.Import("wasi_snapshot_preview1", "proc_exit", Sig(T(I32), nil))
	h.Export("_start", h.Func(Sig(nil, nil), nil, I32Const(code), Call(exit), Unreachable))
}

func TestCompile(t *testing.T) {
	module := func(request, response Type, more func(m *Module)) []byte {
		m := &Module{Memories: [][2]int{{1, -1}}}
		if more != nil {
			more(m)
		}
		if request.Results != nil {
			m.Export("handle_request", m.Func(request, nil, Unreachable))
		}
		if response.Params != nil {
			m.Export("handle_response", m.Func(response, nil, Unreachable))
		}
		return m.Bytes()
	}
	in, out, none := Sig(nil, T(I64)), Sig(T(I32, I32), nil), Type{}
	memory := func(m *Module) { m.ExportRaw("memory", 2, 0) }
	imports := func(module, name string, typ Type) func(m *Module) {
		return func(m *Module) { memory(m); m.Import(module, name, typ) }
	}
	for name, c := range map[string]struct {
		wasm []byte
		want []string // empty is accepted
	}{
		"no import":         {module(in, out, memory), nil},
		"type of request":   {module(Sig(nil, T(I32)), out, memory), []string{`export "handle_request" is () -> (i32), want () -> (i64)`}},
		"type of response":  {module(in, Sig(T(I32), nil), memory), []string{`export "handle_response" is (i32) -> (), want (i32 i32) -> ()`}},
		"request alone":     {module(in, none, imports("http_handler", "get_uri", Sig(T(I32, I32), T(I32)))), []string{`no export "handle_response" of a function (i32 i32) -> ()`}},
		"imports alone":     {module(none, none, imports("http_handler", "get_uri", Sig(T(I32, I32), T(I32)))), []string{`no export "handle_request"`, `no export "handle_response"`}},
		"no memory":         {module(in, out, nil), []string{`no export "memory" of a memory`}},
		"unknown import":    {module(in, out, imports("http_handler", "get_time", Sig(nil, T(I64)))), []string{`import refused: "http_handler" "get_time" is unknown`}},
		"type of an import": {module(in, out, imports("http_handler", "get_uri", Sig(T(I32), T(I32)))), []string{`import refused: "http_handler" "get_uri" is (i32) -> (i32), want (i32 i32) -> (i32)`}},
		"unknown module":    {module(in, out, imports("env", "abort", Sig(nil, nil))), []string{`import refused: "env" "abort" is unknown`}},
		"unknown of WASI":   {module(in, out, imports("wasi_snapshot_preview1", "sock_connect", Sig(nil, T(I32)))), []string{`import refused: "wasi_snapshot_preview1" "sock_connect" is unknown`}},
		"WASI, first name":  {module(in, out, imports("wasi_unstable", "proc_exit", Sig(T(I32), nil))), nil},
		"marked as ours":    {module(in, out, func(m *Module) { memory(m); m.Export(abi.Marker, m.Func(Sig(nil, nil), nil)) }), []string{`"wg_scratch"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, m, err := compile(t, c.wasm, guest.Options{})
			if c.want == nil {
				require.NoError(t, err)
				assert.Equal(t, "http-wasm", m.ABI())
				m.Release()
				return
			}
			for _, text := range c.want {
				require.ErrorContains(t, err, text)
			}
		})
	}
}
