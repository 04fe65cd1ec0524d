package host_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// once is a plugin with two hooks that traps when a hook of it was ever called before.
func once() *Module {
	m := &Module{Memories: [][2]int{{1, 10}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|scratchSize)))
	called := m.Global(I32, true, I32Const(0)...)
	f := m.Func(hookType, nil,
		GlobalGet(called), I32Const(0), I32Load(0), I32Add, If(Empty, Unreachable),
		I32Const(1), GlobalSet(called), I32Const(0), I32Const(1), I32Store(0), I64Const(0))
	m.Export(abi.HookMapRequest.Export(), f)
	m.Export(abi.HookMapResponse.Export(), f)
	return m
}

// With isolation fresh no hook sees that another was called, of the same request or before it.
func TestIsolation(t *testing.T) {
	u := serve(t, nil)
	g := start(t, files{
		"plugins/once.wasm": string(once().Bytes()),
		"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
			at("/fresh", "x-wasmgate-policies: [{plugin: once, isolation: fresh}]", proxy(u.URL)),
			at("/pooled", "x-wasmgate-policies: [{plugin: once, isolation: pooled}]", proxy(u.URL)),
			at("/built-in", `x-wasmgate-policies: [{plugin: transform, isolation: fresh, config: {request: {headers: {add: {x-order: "one"}}}}}]`, proxy(u.URL))),
	})
	g.each(t, func(t *testing.T, c *http.Client) {
		for n := range 10 {
			assert.Equal(t, 200, get(t, c, site+"/fresh").StatusCode, "request %d", n)
			assert.Equal(t, 200, get(t, c, site+"/built-in").StatusCode, "request %d", n)
			assert.Equal(t, "[one]", fmt.Sprint(u.last(t).header["X-Order"]))
		}
		assert.Equal(t, 500, get(t, c, site+"/pooled").StatusCode, "its second hook sees the first")
	})
	isolations := map[string]bool{}
	for _, p := range g.status().Policies {
		isolations[p.Plugin+" "+p.Isolation] = true
	}
	assert.Equal(t, map[string]bool{"once fresh": true, "once pooled": true, "transform fresh": true, "http pooled": true}, isolations)
}
