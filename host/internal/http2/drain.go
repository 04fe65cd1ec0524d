package http2

// drainState is how far the end of a connection without a fault has come (RFC 9113 6.8).
type drainState struct {
	step  uint8 // 0 none, 1 announced, 2 the last stream is settled
	last  uint32
	until int64 // when step 2 comes at the latest
	late  bool  // the first request is the last: told before that, its client would have none
}

// drainPing is the PING whose answer shows that the client has seen the announcement.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'}

const drainWait = 1e9 // nanoseconds

// drain announces the end: the client is told to send nothing more, and what it has sent
// until it knows that is still answered.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drainLocked()
}

func (c *conn) drainLocked() {
	if c.drained.step > 0 || c.closing || c.gone {
		return
	}
	c.drained = drainState{step: 1, until: c.s.o.Now() + drainWait}
	c.append(appendGoAway(nil, maxWindow, codeNo))
	c.append(appendPing(nil, 0, drainPing))
	c.flushElsewhere()
}

// drainFurther settles which stream is the last.
func (c *conn) drainFurther() {
	if c.drained.step != 1 {
		return
	}
	c.drained.step, c.drained.last = 2, c.lastID
	c.append(appendGoAway(nil, c.lastID, codeNo))
	c.flushElsewhere()
	c.finishIfDrained()
}

// finishIfDrained ends the connection after its last stream.
func (c *conn) finishIfDrained() {
	if c.drained.step == 2 && len(c.streams) == 0 && !c.closing {
		c.finish()
	}
}

// tick ends what is late.
func (c *conn) tick(now int64) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	abort := c.writeUntil > 0 && now > c.writeUntil
	switch {
	case abort:
		c.gone = true
		c.s.refused(&c.p, nil, &streamUnread.Refusal)
	case c.readUntil > 0 && now > c.readUntil && !c.closing:
		c.s.refused(&c.p, nil, &faultHeadSlow.Refusal)
		c.fail(faultHeadSlow)
		c.wake()
	case c.drained.step == 1 && now > c.drained.until:
		c.drainFurther()
	default:
		c.tickIdle(now)
	}
	c.tickSending(now)
	for i := len(c.streams) - 1; i >= 0; i-- {
		c.streams[i].tick(now)
	}
	c.mu.Unlock()
	if abort {
		c.t.Abort()
	}
}

func (c *conn) tickIdle(now int64) {
	switch {
	case len(c.streams) > 0 || !c.settled:
		c.idleSince = 0
	case c.idleSince == 0:
		c.idleSince = now
	case now-c.idleSince > int64(c.s.o.Idle) && c.drained.step == 0:
		c.drained = drainState{step: 2, last: c.lastID}
		c.append(appendGoAway(nil, c.lastID, codeNo))
		c.finish()
	case c.between && !c.rested && now-c.idleSince > int64(c.s.o.Rest):
		c.rested = true
		c.t.Rest()
	}
}
