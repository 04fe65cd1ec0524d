package proxywasm

import (
	"maps"
	"strings"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

func signatures(texts ...string) map[string]guest.Signature {
	out := map[string]guest.Signature{}
	for _, text := range texts {
		name, types, _ := strings.Cut(text, ":")
		params, results, _ := strings.Cut(types, ">")
		out[name] = guest.Signature{Params: params, Results: results}
	}
	return out
}

func TestInspect(t *testing.T) {
	good := signatures("proxy_abi_version_0_2_1:", "malloc:i>i", "proxy_on_request_headers:iii>i")
	for _, c := range []struct {
		name string
		more map[string]guest.Signature
		less []string
		want string // in the error; empty is none
	}{
		{"as is", nil, nil, ""},
		{"two parameters are of 0.1.0", signatures("proxy_on_request_headers:ii>i"), nil, `export "proxy_on_request_headers" is (i32 i32) -> (i32), want (i32 i32 i32) -> (i32)`},
		{"no allocator", nil, []string{"malloc"}, `no allocator: want the export "malloc" or "proxy_on_memory_allocate"`},
		{"the SDK's allocator", signatures("proxy_on_memory_allocate:i>i"), []string{"malloc"}, ""},
		{"an unknown version", signatures("proxy_abi_version_0_3_0:"), nil, `export "proxy_abi_version_0_3_0": unknown version of proxy-wasm, want 0.1.0, 0.2.0 or 0.2.1`},
		{"layer 4", signatures("proxy_on_new_connection:i>i", "proxy_on_log:i>", "proxy_on_tick:i>"), []string{"proxy_on_request_headers"},
			`no HTTP callback such as "proxy_on_request_headers": layer 4 and gRPC are not served`},
		{"nothing", nil, []string{"proxy_on_request_headers"}, `no HTTP callback such as "proxy_on_request_headers"`},
		{"timers", signatures("proxy_on_tick:i>"), []string{"proxy_on_request_headers"}, ""},
		{"a callback of another type", signatures("proxy_on_done:I>i"), nil, `export "proxy_on_done" is (i64) -> (i32), want (i32) -> (i32)`},
		{"main", signatures("main:ii>i"), nil, ""},
		{"another main", signatures("main:i>"), nil, `export "main" is (i32) -> (), want (i32 i32) -> (i32)`},
	} {
		exports := maps.Clone(good)
		maps.Copy(exports, c.more)
		for _, name := range c.less {
			delete(exports, name)
		}
		_, err := inspect(exports)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestHeadersOfTheFirstVersion(t *testing.T) {
	for types, arity := range map[string]int{"ii>i": 2, "iii>i": 3} {
		m, err := inspect(signatures("proxy_abi_version_0_1_0:", "malloc:i>i", "proxy_on_request_headers:"+types))
		if err != nil || m.headersArity["proxy_on_request_headers"] != arity || m.version != v010 {
			t.Errorf("%s: %+v, %v, want arity %d", types, m, err, arity)
		}
	}
}

func TestEveryFunctionNamesItsPower(t *testing.T) {
	for name, f := range ABI().Functions {
		if f.Power == "" || f.Call == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if n := len(ABI().Functions); n != 45 {
		t.Errorf("%d functions, want the 45 of the specification and of emscripten", n)
	}
}

// TestStartSectionCallsTheHost: its code runs before anybody has the instance. The log and the
// clock work, what needs a context has none.
func TestStartSectionCallsTheHost(t *testing.T) {
	_, err := load(t, engine(t), assemble([]string{"proxy_log", "proxy_get_current_time_nanoseconds", "proxy_get_header_map_pairs", "proxy_http_call"}, func(m *assembled) {
		plain(m)
		m.Start = m.Func(Sig(nil, nil), nil, m.expect(statusOK, "proxy_log", 2, 0, 8), m.expect(statusInvalidMemory, "proxy_log", 2, -1, 8),
			m.expect(statusOK, "proxy_get_current_time_nanoseconds", scratch), m.expect(statusInternal, "proxy_get_header_map_pairs", 0, scratch, scratch+4),
			m.expect(statusInternal, "proxy_http_call", 0, 0, 0, 0, 0, 0, 0, 0, 1000, scratch)) + 1
	}), Binding{})
	if err != nil {
		t.Error(err)
	}
}
