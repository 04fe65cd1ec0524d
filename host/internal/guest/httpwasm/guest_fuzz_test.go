package httpwasm_test

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// FuzzGuest has a guest call host functions as a request's body says, before the request goes
// on and when the answer comes: each call answers or traps, a trap costs that exchange, and
// what goes on is what a message can be.
func FuzzGuest(f *testing.F) {
	h := NewHandler()
	read := Cat(h.Call("enable_features", I32Const(7)), Drop, h.Call("read_body", I32Const(0), h.Room()), Drop)
	wasm := h.Build(Cat(read, Script(h.Callees, 2, Room), Go(0)), Script(h.Callees, 2, Room))
	p := bind(f, wasm, httpwasm.Binding{Config: []byte("config"), Fuel: 2_000_000, Memory: 4 << 20}, guest.Options{})
	for i := range h.Callees {
		for _, words := range [][]uint64{{0, 1000, 4, 2000, 100}, {1, 2000, 100, 2000, 100}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), 1}} {
			step := make([]byte, ScriptStep)
			step[0] = byte(i)
			for n, w := range words {
				binary.LittleEndian.PutUint64(step[4+8*n:], w)
			}
			f.Add(append(step, 255), "x-name")
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, memory string) {
		exchangeOnce(t, p, string(append(script[:len(script):len(script)], 255)), memory)
		if !exchangeOnce(t, p, "\xff", "") {
			t.Fatal("a harmless exchange fails")
		}
	})
}

// exchangeOnce takes a request with a body through the plugin; false is that it failed.
func exchangeOnce(t *testing.T, p *httpwasm.Plugin, body, value string) bool {
	t.Helper()
	s := p.Open(httpwasm.Facts{Protocol: "HTTP/1.1"})
	defer s.Close()
	q := message{method: "POST", target: "/a?b", body: body}.request()
	q.Header.Add("x-one", strings.ToValidUTF8(value, ""))
	err := s.ServeRequest(t.Context(), q)
	if err != nil {
		typed(t, err)
		return false
	}
	if q.Body != nil {
		n, err := io.Copy(io.Discard, q.Body)
		require.NoError(t, err)
		require.True(t, q.Length < 0 || q.Length == n, "%d bytes, %d promised", n, q.Length)
	}
	resp := message{status: 200, body: "answer", header: []string{"x-there: 1"}}.response()
	if err := s.ServeResponse(t.Context(), resp, false, false); err != nil {
		typed(t, err)
		return false
	}
	require.True(t, resp.Status >= 200 && resp.Status <= 599)
	return true
}

// typed wants an error that is the guest's, and no fault of the host's own code.
func typed(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, exchange.ErrBodyTooLarge) {
		return
	}
	_, ok := errors.AsType[*guest.Error](err)
	require.True(t, ok, "%v", err)
	require.NotContains(t, err.Error(), "runtime error:", "a host function failed")
}
