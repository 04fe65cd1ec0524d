package http2

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client has until it says that it knows: what it sent before is answered, and the second
// GOAWAY names the last of that (RFC 9113 6.8). Here the time does not pass.
func TestDrainNamesTheLastStream(t *testing.T) {
	entered, leave := make(chan struct{}, 3), make(chan struct{})
	g := start(t, stuck(entered, leave), func(o *Options) { o.Now = func() int64 { return 1 } })
	c := g.greet()
	goAway := func() uint32 {
		for {
			h, b, ok := c.next()
			require.True(t, ok)
			if h.kind == frameGoAway {
				require.Equal(t, codeNo, code(binary.BigEndian.Uint32(b[4:])))
				return binary.BigEndian.Uint32(b)
			}
		}
	}
	c.get(1, "/stuck")
	<-entered
	g.Drain()
	require.EqualValues(t, maxWindow, goAway(), "2^31-1")
	c.wait("ping")
	c.get(3, "/stuck")
	<-entered
	c.frame(framePing, flagAck, 0, drainPing[:])
	require.EqualValues(t, 3, goAway())
	c.get(5, "/stuck")
	c.frame(framePing, 0, 0, make([]byte, 8))
	c.wait("pong")
	require.Empty(t, entered)
	close(leave)
	require.ElementsMatch(t, []string{"1 200 end", "3 200 end"}, c.rest())
}
