package pipeline

import (
	"bytes"
	"sync/atomic"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// memo is the verdict keys of a connection's last identity. A client that sends one token
// with every request, as nearly all do, is spared the hash of it: to compare is a tenth of
// the work. The whole input is compared, so that a memo is right or is not used.
type memo struct {
	route        string
	scopes       uint32
	input        []byte
	shared, here verdictKey
	misses       atomic.Uint32
}

// memoMisses is how many requests in a row must differ before another identity is kept: a
// connection that carries many clients gains nothing, and is not to pay for each.
const memoMisses = 16

func memoOf(c *exchange.Conn) *memo {
	if c == nil {
		return nil
	}
	if kept := c.Memo.Load(); kept != nil {
		m, _ := (*kept).(*memo)
		return m
	}
	return nil
}

// holds tells whether m is of this identity on this route.
func (m *memo) holds(route string, scopes uint32, input []byte) bool {
	if m == nil || m.scopes != scopes || m.route != route || !bytes.Equal(m.input, input) {
		return false
	}
	if m.misses.Load() != 0 {
		m.misses.Store(0)
	}
	return true
}

// next is a new memo to fill in, nil when m is to stay.
func (m *memo) next(c *exchange.Conn, route string, scopes uint32, input []byte) *memo {
	if c == nil || m != nil && m.misses.Add(1) < memoMisses {
		return nil
	}
	return &memo{route: route, scopes: scopes, input: bytes.Clone(input)}
}
