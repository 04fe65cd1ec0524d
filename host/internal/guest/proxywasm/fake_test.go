package proxywasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// fakeGuest is a guest in Go: exports by name, and a memory in which an allocator only
// moves on. Its exports call host functions as Wasm would.
type fakeGuest struct {
	v       *vm
	memory  []byte
	next    uint32
	exports map[string]func(g *fakeGuest, args []uint64) uint64
	fuel    int64

	mu  *sync.Mutex
	log *[]string // callbacks with their arguments, of all VMs
}

var errTrap = errors.New("unreachable")

// Has implements sandbox.
func (g *fakeGuest) Has(export string) bool { return g.exports[export] != nil }

// Call implements sandbox.
func (g *fakeGuest) Call(_ context.Context, export string, budget uint64, args ...uint64) (result uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	g.fuel = int64(budget)
	g.mu.Lock()
	*g.log = append(*g.log, fmt.Sprint(export, args))
	g.mu.Unlock()
	return g.exports[export](g, args), nil
}

// Nested implements sandbox.
func (g *fakeGuest) Nested(export string, args ...uint64) (result uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return g.exports[export](g, args), nil
}

// Bytes implements sandbox.
func (g *fakeGuest) Bytes(at, length uint32) ([]byte, bool) {
	if uint64(at)+uint64(length) > uint64(len(g.memory)) {
		return nil, false
	}
	return g.memory[at : at+length : at+length], true
}

// Charge implements sandbox.
func (g *fakeGuest) Charge(units int64) {
	if g.fuel -= units; g.fuel < 0 {
		panic("no fuel")
	}
}

// Used implements sandbox.
func (g *fakeGuest) Used() uint64 { return 0 }

// Close implements sandbox.
func (g *fakeGuest) Close() { g.memory = nil }

// put copies bytes into the guest's memory.
func (g *fakeGuest) put(b string) (at, length uint64) {
	p := g.next
	g.next += uint32(len(b)) + 8
	copy(g.memory[p:], b)
	return uint64(p), uint64(len(b))
}

// host calls a host function; strings are put into memory first, as pointer and length.
func (g *fakeGuest) host(name string, args ...any) status {
	f := functions()[name]
	var w []uint64
	for _, a := range args {
		switch a := a.(type) {
		case string:
			at, n := g.put(a)
			w = append(w, at, n)
		case int:
			w = append(w, uint64(a))
		case uint64:
			w = append(w, a)
		case slot:
			w = append(w, uint64(a))
		}
	}
	if len(w) == 0 {
		w = []uint64{0}
	}
	f.serve(g.v, w)
	return status(w[0])
}

// slot is a place for a result in the guest's memory.
type slot uint64

func (g *fakeGuest) slot() slot {
	g.next = (g.next + 7) &^ 7
	s := slot(g.next)
	g.next += 8
	return s
}

func (g *fakeGuest) u32(s slot) uint32 { return binary.LittleEndian.Uint32(g.memory[s:]) }

// text calls a host function that gives bytes.
func (g *fakeGuest) text(name string, args ...any) (string, status) {
	at, n := g.slot(), g.slot()
	st := g.host(name, append(args, at, n)...)
	if st != statusOK {
		return "", st
	}
	return string(g.memory[g.u32(at):][:g.u32(n)]), st
}

// fakePlugin is a plugin whose guests are fake.
type fakePlugin struct {
	*Plugin
	t       *testing.T
	adapter *Adapter
	mu      sync.Mutex
	log     []string
}

type exports map[string]func(g *fakeGuest, args []uint64) uint64

// newAdapter is an adapter that is closed after its plugins.
func newAdapter(t *testing.T) *Adapter {
	a := NewAdapter()
	t.Cleanup(a.Close)
	return a
}

// start binds a plugin of fake guests with these exports.
func start(t *testing.T, b Binding, e exports) *fakePlugin {
	t.Helper()
	p, err := tryStart(t, newAdapter(t), b, e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryStart(t *testing.T, a *Adapter, b Binding, e exports) (*fakePlugin, error) {
	p := &fakePlugin{t: t, adapter: a}
	if b.Name == "" {
		b.Name = "p"
	}
	if b.Fuel == 0 {
		b.Fuel = 1e9
	}
	if b.Logger == nil {
		b.Logger = slog.New(slog.DiscardHandler)
	}
	all := exports{
		"malloc": func(g *fakeGuest, args []uint64) uint64 {
			at, _ := g.put(string(make([]byte, args[0])))
			return at
		},
		"proxy_on_context_create": func(*fakeGuest, []uint64) uint64 { return 0 },
	}
	for name, f := range e {
		all[name] = f
	}
	m := &module{version: v021, allocator: "malloc", headersArity: map[string]int{}, callbacks: map[string]bool{}, filters: true}
	for name := range e {
		m.callbacks[name] = true
	}
	var err error
	p.Plugin, err = a.bind(t.Context(), m, b, func(_ context.Context, v *vm) (sandbox, error) {
		return &fakeGuest{v: v, memory: make([]byte, 1<<24), next: 1024, exports: all, mu: &p.mu, log: &p.log}, nil
	})
	if err == nil {
		t.Cleanup(p.Close)
	}
	return p, err
}

// callbacks is what was called so far, without the start.
func (p *fakePlugin) callbacks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// exchangeOf is an exchange with a request head.
func exchangeOf() (*exchange.Exchange, *Request) {
	x := exchange.Acquire()
	x.Conn = &exchange.Conn{Protocol: "HTTP/1.1", ID: 7}
	return x, &Request{Method: "GET", Scheme: "https", Authority: "api.test", Target: "/a?b=c", Header: &x.Header, Trailer: &x.Trailer, Length: -1}
}

// open makes a stream.
func (p *fakePlugin) open(x *exchange.Exchange) *Stream {
	p.t.Helper()
	s, err := p.Open(p.t.Context(), Facts{Exchange: x})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

type (
	ctxType      = context.Context
	outboundType = guest.Outbound
	answerType   = guest.Answer
)
