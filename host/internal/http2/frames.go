package http2

import "encoding/binary"

// frame handles a whole frame other than DATA.
func (c *conn) frame(h frameHeader, b []byte) error {
	switch h.kind {
	case frameHeaders:
		return c.takeHeaders(h, b)
	case frameContinuation:
		return c.takeContinuation(h, b)
	case framePriority:
		return c.takePriority(h, b)
	case frameRSTStream:
		return c.takeReset(h, b)
	case frameSettings:
		return c.takeSettings(h, b)
	case framePushPromise:
		return faultPush
	case framePing:
		return c.takePing(h, b)
	case frameGoAway:
		switch {
		case h.stream != 0:
			return faultStreamZero
		case len(b) < 8:
			return faultFrameSize
		}
		return c.charge(costEmpty)
	case frameWindowUpdate:
		return c.takeWindowUpdate(h, b)
	}
	return c.charge(costFrame) // unknown ones are ignored (RFC 9113 4.1)
}

func (c *conn) takePriority(h frameHeader, b []byte) error {
	switch {
	case h.stream == 0:
		return faultStreamZero
	case len(b) != 5:
		return faultFrameSize
	case binary.BigEndian.Uint32(b)&maxWindow == h.stream:
		return faultDependency
	}
	return c.charge(costFrame)
}

func (c *conn) takePing(h frameHeader, b []byte) error {
	switch {
	case h.stream != 0:
		return faultStreamZero
	case len(b) != 8:
		return faultFrameSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.has(flagAck) {
		if [8]byte(b) == drainPing {
			c.drainFurther()
		}
		return c.chargeLocked(costFrame)
	}
	c.append(appendPing(nil, flagAck, [8]byte(b)))
	return c.chargeLocked(costFrame)
}

func (c *conn) takeReset(h frameHeader, b []byte) error {
	switch {
	case h.stream == 0:
		return faultStreamZero
	case len(b) != 4:
		return faultFrameSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.find(h.stream)
	if st == nil {
		if h.stream > c.lastID || h.stream%2 == 0 {
			return faultIdle
		}
		return c.chargeLocked(costFrame)
	}
	c.kill(st, errReset, false)
	return c.chargeReset()
}

func (c *conn) takeWindowUpdate(h frameHeader, b []byte) error {
	if len(b) != 4 {
		return faultFrameSize
	}
	n := int64(binary.BigEndian.Uint32(b) & maxWindow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.stream == 0 {
		switch {
		case n == 0:
			return faultIncrement
		case c.window+n > maxWindow:
			return faultWindow
		}
		c.window += n
		c.wakeSender()
		return c.chargeLocked(costFrame)
	}
	st := c.find(h.stream)
	switch {
	case st == nil && (h.stream > c.lastID || h.stream%2 == 0):
		return faultIdle
	case st == nil:
	case n == 0:
		return c.resetFor(st, streamIncrement)
	case st.window+n > maxWindow:
		return c.resetFor(st, streamWindow)
	default:
		st.window += n
		st.writable.Broadcast()
	}
	return c.chargeLocked(costFrame)
}

// takeHeaders begins a header block (RFC 9113 6.2).
func (c *conn) takeHeaders(h frameHeader, b []byte) error {
	if h.stream%2 == 0 {
		return faultStreamID
	}
	if h.has(flagPadded) {
		if len(b) == 0 {
			return faultFrameSize
		}
		pad := int(b[0])
		if b = b[1:]; pad > len(b) {
			return faultPadding
		}
		b = b[:len(b)-pad]
	}
	c.block = block{stream: h.stream, end: h.has(flagEndStream), buf: c.block.buf[:0]}
	if h.has(flagPriority) {
		if len(b) < 5 {
			return faultFrameSize
		}
		c.block.depends = binary.BigEndian.Uint32(b)&maxWindow == h.stream
		b = b[5:]
	}
	if h.has(flagEndHeaders) {
		return c.takeBlock(b)
	}
	c.block.open = true
	c.block.buf = append(c.block.buf, b...)
	if len(b) == 0 {
		return c.charge(costEmpty)
	}
	return nil
}

// takeContinuation goes on with a header block (RFC 9113 6.10). How many parts a block
// may have is bounded, because nobody sees it before its end (CVE-2023-45288).
func (c *conn) takeContinuation(h frameHeader, b []byte) error {
	if !c.block.open {
		return faultContinuation
	}
	cost := int64(costPart)
	if len(b) == 0 {
		cost = costEmpty
	}
	if err := c.charge(cost); err != nil {
		return err
	}
	c.block.buf = append(c.block.buf, b...)
	c.block.parts++
	if c.block.parts > maxParts || len(c.block.buf) > maxBlock*c.s.o.Syntax.Head {
		return faultBlock
	}
	if !h.has(flagEndHeaders) {
		return nil
	}
	c.block.open = false
	err := c.takeBlock(c.block.buf)
	c.block.buf = nil
	return err
}
