package http2

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGet(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	c := g.greet()
	for id := uint32(1); id < 20; id += 2 {
		c.request(id, true, ":method", "GET", ":scheme", "https", ":authority", "A.example:8443", ":path", "/x?y=z", "accept", "b")
		events, body := c.answer(id)
		require.Equal(t, []string{"200", "data 37 end"}, events)
		require.Equal(t, "GET a.example:8443 /x?y=z\naccept: b\n\n", body)
	}
}
