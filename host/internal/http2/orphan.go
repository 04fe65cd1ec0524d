package http2

import "sync/atomic"

// orphans are the requests of all connections that are abandoned: their clients have reset
// them, made us reset them, or left, and their handlers, and whatever those have asked of an
// upstream, still run. They keep their connection's slots; but a client may have many
// connections, on each of which it makes orphans of all it has and leaves.
type orphans struct {
	all   atomic.Int64
	conns atomic.Int64 // that have any
}

// abandon counts st, which is working, as an orphan.
func (c *conn) abandon(st *stream) {
	st.abandoned = true
	c.s.orphans.all.Add(1)
	if c.orphans++; c.orphans == 1 {
		c.s.orphans.conns.Add(1)
	}
}

// settle is the end of what abandon counted.
func (c *conn) settle(st *stream) {
	if !st.abandoned {
		return
	}
	c.s.orphans.all.Add(-1)
	if c.orphans--; c.orphans == 0 {
		c.s.orphans.conns.Add(-1)
	}
}

// chargeReset pays for a stream that was reset. When there are too many orphans, a
// connection that has no less than the average of those that have any is ended; somebody
// who gives up a request meanwhile is not.
func (c *conn) chargeReset() error {
	all, conns := c.s.orphans.all.Load(), c.s.orphans.conns.Load()
	if most := int64(c.s.o.Abandoned); most > 0 && all > most && int64(c.orphans)*conns >= all {
		return faultAbandoned
	}
	return c.chargeLocked(costReset)
}
