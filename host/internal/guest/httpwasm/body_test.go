package httpwasm_test

import (
	"context"
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

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
func (failing) Close() error               { return nil }

// A client that breaks off is an end for the guest, whose verdict does not count; the
// instance goes on.
func TestBodyThatBreaksOff(t *testing.T) {
	broke := errors.New("client went away")
	h := NewHandler()
	p := bind(t, h.Build(Cat(h.Get("read_body", I32Const(0)), Drop, Drop, h.Call("enable_features", I32Const(2)), Drop, Go(0)),
		Cat(h.Get("read_body", I32Const(1)), Drop, Drop)), httpwasm.Binding{}, guest.Options{Instances: 1})
	for range 2 { // the second time it is prefetched
		s := p.Open(facts)
		r := message{}.request()
		r.Body = io.MultiReader(strings.NewReader("half"), failing{broke})
		require.ErrorIs(t, s.ServeRequest(context.Background(), r), broke)
		s.Close()
	}
	s := p.Open(facts)
	require.NoError(t, s.ServeRequest(context.Background(), message{}.request()))
	resp := message{}.response()
	resp.Stream = failing{broke}
	require.ErrorIs(t, s.ServeResponse(context.Background(), resp, false, false), broke)
	pass(t, p, message{}, message{body: "x"})
}

// More than MaxBody is neither kept nor written.
func TestBodyIsBounded(t *testing.T) {
	h := NewHandler()
	again := Loop(Empty, h.Call("read_body", I32Const(0), h.Room()), I64Const(32), []byte{0x88}, []byte{0xa7}, I32Eqz, BrIf(0))
	p := bind(t, h.Build(Cat(again, Go(0)), nowhere), httpwasm.Binding{}, guest.Options{})
	for size, want := range map[int]error{httpwasm.MaxBody: nil, httpwasm.MaxBody + 1: exchange.ErrBodyTooLarge} {
		s := p.Open(facts)
		r := message{body: strings.Repeat("x", size)}.request()
		require.ErrorIs(t, s.ServeRequest(context.Background(), r), want)
		s.Close()
	}
	h = NewHandler()
	p = bind(t, h.Build(Cat(Loop(Empty, h.Call("write_body", I32Const(1), h.Room()), Br(0)), Stop()), nowhere), httpwasm.Binding{}, guest.Options{})
	s := p.Open(facts)
	defer s.Close()
	require.ErrorContains(t, s.ServeRequest(context.Background(), message{}.request()), "write_body: body of 17825792 bytes, want at most 16777216")
}
