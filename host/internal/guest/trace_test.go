package guest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// A trap tells on one line where in the guest it happened, in the guest's own names, which
// are a stranger's text.
func TestTraps(t *testing.T) {
	void := Sig(nil, nil)
	e := newEngine(t, guest.Options{})
	for name, test := range map[string]struct {
		function string // called by the hook
		code     func(self int) []byte
		want     string // after plugin, hook and kind
	}{
		"trap":      {"check_token", func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in check_token, called by hook)"},
		"method":    {"main.(*Token).Check", func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in main.(*Token).Check, called by hook)"},
		"fuel":      {"spin", func(int) []byte { return Loop(Empty, Br(0)) }, "fuel: the call used up its fuel (in spin, called by hook)"},
		"recursion": {"again", func(self int) []byte { return Call(self) }, "stack: the call recursed too deeply (in again 30 times)"},
		"terminal":  {"a\x1b[2J\u202eb", func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in a?[2J?b, called by hook)"},
		"line":      {"a\nlevel=ERROR", func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in hook)"},
		"long":      {strings.Repeat("n", 4096), func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in " + strings.Repeat("n", 120) + "…, called by hook)"},
		"too long":  {strings.Repeat("n", 4097), func(int) []byte { return Unreachable }, "trap: wasm error: unreachable (in $2, called by $3)"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Module{Memories: [][2]int{{1, 1000}}}
			contract(m)
			self := m.Next()
			m.Func(void, nil, test.code(self))
			m.Export(hook.Export(), m.Func(hookType, nil, Call(self), I64Const(0)))
			m.Names("marker", "scratch", test.function, "hook")
			p := bind(t, e, m.Bytes(), guest.Binding{Fuel: 10_000_000})
			_, err := p.Call(context.Background(), hook, &ask{hook: hook})
			require.EqualError(t, err, `plugin "test": hook guard: `+test.want)
		})
	}
}
