package proxywasm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Signature is the type of a function: i is i32, I is i64, f and F are floats, and
// anything else is -.
type Signature struct{ Params, Results string }

// String is the type as Wasm tools write it.
func (s Signature) String() string {
	names := map[rune]string{'i': "i32", 'I': "i64", 'f': "f32", 'F': "f64", '-': "?"}
	list := func(types string) string {
		var out []string
		for _, t := range types {
			out = append(out, names[t])
		}
		return "(" + strings.Join(out, " ") + ")"
	}
	return list(s.Params) + " -> " + list(s.Results)
}

// module is what the host must know of a plugin's code.
type module struct {
	version      version
	allocator    string
	mainArgs     []uint64
	headersArity map[string]int // parameters of the headers callbacks
	filters      bool           // it has a callback of HTTP streams
}

// callbacks are the exports that the host calls, with their types.
var callbacks = map[string]Signature{
	"proxy_on_memory_allocate":    {"i", "i"},
	"malloc":                      {"i", "i"},
	"proxy_on_context_create":     {"ii", ""},
	"proxy_on_vm_start":           {"ii", "i"},
	"proxy_on_configure":          {"ii", "i"},
	"proxy_on_done":               {"i", "i"},
	"proxy_on_log":                {"i", ""},
	"proxy_on_delete":             {"i", ""},
	"proxy_on_tick":               {"i", ""},
	"proxy_on_queue_ready":        {"ii", ""},
	"proxy_on_request_headers":    {"iii", "i"},
	"proxy_on_request_body":       {"iii", "i"},
	"proxy_on_request_trailers":   {"ii", "i"},
	"proxy_on_response_headers":   {"iii", "i"},
	"proxy_on_response_body":      {"iii", "i"},
	"proxy_on_response_trailers":  {"ii", "i"},
	"proxy_on_http_call_response": {"iiiii", ""},
	"_initialize":                 {"", ""},
	"_start":                      {"", ""},
}

// httpCallbacks are those of which a plugin that sees requests has at least one.
var httpCallbacks = [...]string{
	"proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers",
	"proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers", "proxy_on_log",
}

// IsModule tells by the names of its exports whether a module is one for proxy-wasm.
func IsModule(exports []string) bool {
	return slices.ContainsFunc(exports, func(e string) bool { return strings.HasPrefix(e, markerPrefix) })
}

// inspect checks the exports of a module; every fault is in the error.
func inspect(exports map[string]Signature) (*module, error) {
	m := &module{version: -1, headersArity: map[string]int{}}
	var faults []error
	for v, marker := range markers {
		if _, ok := exports[marker]; ok {
			m.version = version(v) // the latest counts
		}
	}
	for name := range exports {
		if strings.HasPrefix(name, markerPrefix) && !slices.Contains(markers[:], name) {
			faults = append(faults, fmt.Errorf("export %q: unknown version of proxy-wasm, want 0.1.0, 0.2.0 or 0.2.1", name))
		}
	}
	for name, want := range callbacks {
		got, ok := exports[name]
		if !ok {
			continue
		}
		arity := len(got.Params)
		if headers := strings.HasSuffix(name, "_headers"); headers && arity == 2 && m.version == v010 {
			want = Signature{"ii", "i"} // there was no end of stream at first
		} else if headers {
			arity = 3
		}
		m.headersArity[name] = arity
		if got != want {
			faults = append(faults, fmt.Errorf("export %q is %s, want %s", name, got, want))
		}
	}
	for _, name := range []string{"malloc", "proxy_on_memory_allocate"} {
		if _, ok := exports[name]; ok && m.allocator == "" {
			m.allocator = name
		}
	}
	if m.allocator == "" {
		faults = append(faults, errors.New(`no allocator: want the export "malloc" or "proxy_on_memory_allocate"`))
	}
	if main, ok := exports["main"]; ok {
		switch main {
		case Signature{"ii", "i"}:
			m.mainArgs = []uint64{0, 0}
		case Signature{"", ""}, Signature{"", "i"}:
		default:
			faults = append(faults, fmt.Errorf("export %q is %s, want %s", "main", main, Signature{"ii", "i"}))
		}
	}
	for _, name := range httpCallbacks {
		if _, ok := exports[name]; ok {
			m.filters = true
		}
	}
	_, ticks := exports["proxy_on_tick"]
	_, queues := exports["proxy_on_queue_ready"]
	if !m.filters && !ticks && !queues {
		faults = append(faults, errors.New("no callback of HTTP, timers or queues: layer 4 and gRPC are not served"))
	}
	return m, errors.Join(faults...)
}

// Import is the type of a host function, and what it lets a plugin do in our words; false
// is none.
func Import(name string) (s Signature, power string, ok bool) {
	f, ok := functions()[name]
	if !ok {
		return Signature{}, "", false
	}
	s = Signature{f.params, "i"}
	if f.none {
		s.Results = ""
	}
	return s, f.power, true
}
