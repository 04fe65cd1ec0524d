package pipeline

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// keep is what verdictKeys does with a memo; it tells whether it was there.
func keep(c *exchange.Conn, route string, scopes uint32, input string) (found bool) {
	m := memoOf(c)
	if m.holds(route, scopes, []byte(input)) {
		return true
	}
	if m = m.next(c, route, scopes, []byte(input)); m != nil {
		kept := any(m)
		c.Memo.Store(&kept)
	}
	return false
}

func TestMemo(t *testing.T) {
	c := &exchange.Conn{}
	require.False(t, keep(c, "GET /", 1, "alice"))
	require.True(t, keep(c, "GET /", 1, "alice"))
	require.False(t, keep(c, "GET /", 1, "alicf"), "another identity")
	require.False(t, keep(c, "GET /", 1, "alice "), "a longer one")
	require.False(t, keep(c, "GET /b", 1, "alice"), "another route")
	require.False(t, keep(c, "GET /", 2, "alice"), "other scopes")
	require.True(t, keep(c, "GET /", 1, "alice"))
	for i := range memoMisses {
		require.False(t, keep(c, "GET /", 1, fmt.Sprint("bob", i)))
	}
	require.False(t, keep(c, "GET /", 1, "alice"), "another identity took its place")
	require.True(t, keep(c, "GET /", 1, fmt.Sprint("bob", memoMisses-1)))
	c.Memo.Store(nil)
	require.False(t, keep(c, "GET /", 1, "bob"))
	require.False(t, keep(nil, "GET /", 1, "bob"), "no connection, no memo")
}
