package proxywasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// FuzzGuest has a guest call host functions as its config says, while it is configured and in
// a request: each call answers a status or the guest traps, whatever it gave.
func FuzzGuest(f *testing.F) {
	names := slices.Sorted(maps.Keys(functions()))
	var callees []Callee
	wasm := assemble(names, func(m *assembled) {
		for _, name := range names {
			callees = append(callees, Callee{Func: m.imports[name], Type: typeOf(name)})
		}
		m.allocator(I32Const(heap))
		code := Cat(m.call("proxy_get_buffer_bytes", bufferPluginConfig, 0, 16<<10, scratch, scratch+4), Drop, Script(callees, 2, heap))
		m.Export("proxy_on_configure", m.Func(Sig(T(I32, I32), T(I32)), T(I32), code, I32Const(1)))
		inRequest := Cat(m.call("proxy_get_buffer_bytes", bufferPluginConfig, 0, 16<<10, scratch, scratch+4), Drop, Script(callees, 3, heap))
		m.Export("proxy_on_request_headers", m.Func(Sig(T(I32, I32, I32), T(I32)), T(I32), inRequest, I32Const(0)))
	})
	e := engine(f)
	m, err := e.Compile(f.Context(), "p", wasm)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(m.Release)
	for i := range callees {
		for _, words := range [][]uint64{{0, 8292, 4, scratch, scratch + 8, 4}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}, {4, 65535, 2, 65535, 2, 65533}} {
			step := make([]byte, ScriptStep)
			step[0] = byte(i)
			for n, w := range words {
				binary.LittleEndian.PutUint64(step[4+8*n:], w)
			}
			f.Add(append(step, 255))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		script = append(bytes.Clone(script[:min(len(script), 8<<10)]), 255)
		a := NewAdapter()
		defer a.Close()
		p, err := a.Bind(t.Context(), e, m, Binding{Name: "p", Config: script, Fuel: 1_000_000, Memory: 1 << 20, VMs: 1, Metrics: fakeMetrics{}})
		if err != nil {
			typed(t, err)
			return
		}
		defer p.Close()
		x, r := exchangeOf()
		s, err := p.Open(t.Context(), Facts{Exchange: x})
		if err != nil {
			typed(t, err)
			return
		}
		if err := s.ServeRequest(t.Context(), r); err != nil && !errors.Is(err, ErrReplied) && !errors.Is(err, errClosedByGuest) {
			typed(t, err)
		}
		checkHead(t, r, x)
		s.Close(r, &x.Response)
	})
}

// typed wants an error that is the guest's, and no fault of the host's own code.
func typed(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*guest.Error](err); !ok {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "runtime error:") {
		t.Errorf("a host function failed: %v", err)
	}
}
