package forward

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// take takes as many as o may have, at most n.
func (s *shares) take(o owner, n int, used *int, most int) (got int) {
	for got < n && *used < most && s.may(o, *used, most) {
		s.charge(o, *used, most)
		*used++
		got++
	}
	return got
}

func TestShares(t *testing.T) {
	const most = 300
	var s shares
	used := 0
	hogs := make([]owner, 10)
	for i := range hogs {
		hogs[i] = new(exchange.Conn)
		s.take(hogs[i], 100, &used, most)
	}
	require.GreaterOrEqual(t, used, most/2, "the first half is for whoever comes")
	require.Less(t, used, most)
	for range 20 {
		require.Equal(t, 1, s.take(new(exchange.Conn), 1, &used, most), "a newcomer gets one")
	}
	for _, hog := range hogs[2:] { // the first had theirs of the first half
		require.Zero(t, s.take(hog, 1, &used, most), "who has many gets no more")
	}
}

// One connection for each client is what HTTP/1.1 asks for: all of them are used.
func TestSharesOfMany(t *testing.T) {
	var s shares
	used := 0
	for range 300 {
		s.take(new(exchange.Conn), 1, &used, 300)
	}
	require.Equal(t, 300, used)
}

// What is given back is forgotten, in any order.
func TestSharesAreGivenBack(t *testing.T) {
	var s shares
	used := 0
	var charged []owner
	for range 50 {
		o := new(exchange.Conn)
		for used < 300 && s.may(o, used, 300) {
			charged = append(charged, s.charge(o, used, 300))
			used++
		}
	}
	rand.Shuffle(len(charged), func(i, j int) { charged[i], charged[j] = charged[j], charged[i] })
	for _, o := range charged {
		s.discharge(o)
	}
	require.Empty(t, s.held)
}
