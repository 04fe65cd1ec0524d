package proxywasm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// module is what the host must know of a plugin's code.
type module struct {
	version      version
	allocator    string
	mainArgs     []uint64
	headersArity map[string]int  // parameters of the headers callbacks
	callbacks    map[string]bool // that it has
	filters      bool            // it has a callback of HTTP streams
}

// seesBody tells whether the plugin has a callback for the bodies or trailers of a direction.
func (m *module) seesBody(names *callbackNames) bool {
	return m.callbacks[names.body] || m.callbacks[names.trailers]
}

// callbacks are the exports that the host calls, with their types.
var callbacks = map[string]guest.Signature{
	"proxy_on_memory_allocate":    {Params: "i", Results: "i"},
	"malloc":                      {Params: "i", Results: "i"},
	"proxy_on_context_create":     {Params: "ii", Results: ""},
	"proxy_on_vm_start":           {Params: "ii", Results: "i"},
	"proxy_on_configure":          {Params: "ii", Results: "i"},
	"proxy_on_done":               {Params: "i", Results: "i"},
	"proxy_on_log":                {Params: "i", Results: ""},
	"proxy_on_delete":             {Params: "i", Results: ""},
	"proxy_on_tick":               {Params: "i", Results: ""},
	"proxy_on_queue_ready":        {Params: "ii", Results: ""},
	"proxy_on_request_headers":    {Params: "iii", Results: "i"},
	"proxy_on_request_body":       {Params: "iii", Results: "i"},
	"proxy_on_request_trailers":   {Params: "ii", Results: "i"},
	"proxy_on_response_headers":   {Params: "iii", Results: "i"},
	"proxy_on_response_body":      {Params: "iii", Results: "i"},
	"proxy_on_response_trailers":  {Params: "ii", Results: "i"},
	"proxy_on_http_call_response": {Params: "iiiii", Results: ""},
	"_initialize":                 {Params: "", Results: ""},
	"_start":                      {Params: "", Results: ""},
}

// httpCallbacks are those of which a plugin that sees requests has at least one.
var httpCallbacks = [...]string{
	"proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers",
	"proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers",
}

// layer4Callbacks are those of plugins for connections.
var layer4Callbacks = [...]string{
	"proxy_on_new_connection", "proxy_on_downstream_data", "proxy_on_upstream_data",
	"proxy_on_downstream_connection_close", "proxy_on_upstream_connection_close",
}

// ABI is the interface as the engine serves it to modules; see [guest.Options].
func ABI() *guest.ABI {
	a := &guest.ABI{Name: "proxy-wasm", Module: "env", Functions: map[string]guest.HostFunction{}, Match: matches,
		Check: func(exports map[string]guest.Signature) error {
			_, err := inspect(exports)
			return err
		}}
	for name, f := range functions() {
		s := guest.Signature{Params: f.params, Results: "i"}
		if f.none {
			s.Results = ""
		}
		a.Functions[name] = guest.HostFunction{Signature: s, Power: f.power,
			Call: func(b *guest.Sandbox, words []uint64) {
				v := b.Data.(*vm)
				v.box = b // a start function calls before startVM has it
				f.serve(v, words)
			}}
	}
	return a
}

// matches tells a module for proxy-wasm by the export that names its version.
func matches(m *abi.Module) bool {
	return slices.ContainsFunc(m.Exports, func(e abi.Export) bool { return strings.HasPrefix(e.Name, markerPrefix) })
}

// IsCallback tells whether an export is one that the host calls for what happens, rather than
// to start it or for memory.
func IsCallback(export string) bool {
	_, ok := callbacks[export]
	return ok && strings.HasPrefix(export, "proxy_on_") && export != "proxy_on_memory_allocate" && export != "proxy_on_context_create"
}

// inspect checks the exports of a module; every fault is in the error.
func inspect(exports map[string]guest.Signature) (*module, error) {
	m := &module{version: -1, headersArity: map[string]int{}, callbacks: map[string]bool{}}
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
		m.callbacks[name] = true
		arity := len(got.Params)
		if headers := strings.HasSuffix(name, "_headers"); headers && arity == 2 && m.version == v010 {
			want = guest.Signature{Params: "ii", Results: "i"} // there was no end of stream at first
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
		case guest.Signature{Params: "ii", Results: "i"}:
			m.mainArgs = []uint64{0, 0}
		case guest.Signature{Params: "", Results: ""}, guest.Signature{Results: "i"}:
		default:
			faults = append(faults, fmt.Errorf("export %q is %s, want %s", "main", main, guest.Signature{Params: "ii", Results: "i"}))
		}
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, ok := exports[name]; return ok })
	}
	// Go and Rust modules have the callbacks of all layers, whether they use them or not.
	layer4 := has(layer4Callbacks[:]...)
	m.filters = has(httpCallbacks[:]...) || !layer4 && has("proxy_on_log")
	if !m.filters && (layer4 || !has("proxy_on_tick", "proxy_on_queue_ready", "proxy_on_http_call_response")) {
		faults = append(faults, errors.New("no HTTP callback such as \"proxy_on_request_headers\": layer 4 and gRPC are not served"))
	}
	return m, errors.Join(faults...)
}
