package http2

import "sync"

// dataFrame is a DATA frame of which a part is still to come.
type dataFrame struct {
	stream  uint32
	content int // bytes of content to come
	left    int // with the padding behind them
	end     bool
}

// startData begins a DATA frame (RFC 9113 6.1) whose payload begins at b, and takes what
// of it is there. n counts the frame's header; 0 when more is needed to begin.
func (c *conn) startData(h frameHeader, b []byte) (n int, err error) {
	pad, over := 0, 0
	if h.has(flagPadded) {
		switch {
		case h.length == 0:
			return 0, faultFrameSize
		case len(b) == 0:
			return 0, nil
		}
		pad, over = int(b[0]), 1
		if pad >= h.length {
			return 0, faultPadding
		}
	}
	if h.stream == 0 {
		return 0, faultStreamZero
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = dataFrame{h.stream, h.length - over - pad, h.length - over, h.has(flagEndStream)}
	if err := c.admitData(h); err != nil {
		return 0, err
	}
	if c.data.left == 0 {
		return headerSize + over, c.endData()
	}
	n, err = c.takeDataLocked(b[over:])
	return headerSize + over + n, err
}

// admitData counts a frame against the windows, the announced length and the limit of
// bodies.
func (c *conn) admitData(h frameHeader) error {
	size, content := int64(h.length), int64(c.data.content)
	if size > c.recvWindow {
		return faultFlow
	}
	c.recvWindow -= size
	c.unacked += size - content
	st := c.find(h.stream)
	if st == nil {
		c.data.stream = 0
		if h.stream > c.lastID || h.stream%2 == 0 {
			return faultIdle
		}
		if _, ours := c.closed.has(h.stream); !ours {
			return faultClosed
		}
		return c.chargeLocked(costFrame)
	}
	r := &st.recv
	r.got += content
	switch {
	case st.remoteDone:
		return c.resetFor(st, streamClosed)
	case size > r.window:
		return c.resetFor(st, streamFlow)
	case r.length >= 0 && (r.got > r.length || c.data.end && r.got < r.length):
		return c.resetFor(st, streamLength)
	}
	r.window -= size
	r.unacked += size - content
	if r.got > c.s.o.BodyBytes && r.refusal == nil {
		st.refuseBody()
	}
	if content == 0 && !c.data.end {
		return c.chargeLocked(costEmpty)
	}
	return nil
}

// takeData takes what has come of the current frame.
func (c *conn) takeData(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeDataLocked(b)
}

func (c *conn) takeDataLocked(b []byte) (int, error) {
	b = b[:min(len(b), c.data.left)]
	if content := b[:min(len(b), c.data.content)]; len(content) > 0 {
		c.data.content -= len(content)
		if st := c.find(c.data.stream); st != nil && st.recv.refusal == nil && !st.recv.stopped {
			st.recv.push(content)
			st.readable.Broadcast()
		} else {
			c.unacked += int64(len(content))
		}
	}
	if c.data.left -= len(b); c.data.left > 0 {
		return len(b), nil
	}
	return len(b), c.endData()
}

func (c *conn) endData() error {
	c.creditConn()
	if !c.data.end {
		return nil
	}
	if st := c.find(c.data.stream); st != nil {
		return c.endRemote(st)
	}
	return nil
}

// endRemote is the end of a request: only now is it known to be what was announced.
func (c *conn) endRemote(st *stream) error {
	if r := &st.recv; r.length >= 0 && r.got != r.length {
		return c.resetFor(st, streamLength)
	}
	st.remoteDone = true
	st.readable.Broadcast()
	if st.held {
		st.held, st.readUntil = false, 0
		_ = st.endBody() // there is none
		c.dispatch(st)
	}
	return nil
}

// creditConn opens the connection's window again by what was taken out of it.
func (c *conn) creditConn() {
	if c.unacked >= connWindowSize/4 {
		c.append(appendWindowUpdate(nil, 0, c.unacked))
		c.recvWindow += c.unacked
		c.unacked = 0
	}
}

// credit opens the windows again by n bytes that the handler has taken.
func (st *stream) credit(n int) {
	c, r := st.c, &st.recv
	c.unacked += int64(n)
	c.creditConn()
	r.unacked += int64(n)
	if st.remoteDone || r.unacked < streamWindowSize/4 || r.length >= 0 && r.length-r.got <= r.window {
		return
	}
	c.append(appendWindowUpdate(nil, st.id, r.unacked))
	r.window += r.unacked
	r.unacked = 0
}

// chunkSize is that of the pieces in which bodies wait.
const chunkSize = 8 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// push puts p, which is within the window, behind what waits.
func (r *receiving) push(p []byte) {
	r.buffered += len(p)
	for len(p) > 0 {
		if len(r.chunks) == 0 || r.w == chunkSize {
			r.chunks, r.w = append(r.chunks, chunks.Get().(*chunk)), 0
		}
		n := copy(r.chunks[len(r.chunks)-1][r.w:], p)
		r.w += n
		p = p[n:]
	}
}

// pop takes bytes, no more than wait.
func (r *receiving) pop(p []byte) (n int) {
	for n < len(p) {
		end := chunkSize
		if len(r.chunks) == 1 {
			end = r.w
		}
		m := copy(p[n:], r.chunks[0][r.r:end])
		n += m
		if r.r += m; r.r < end {
			break
		}
		r.shift()
	}
	r.buffered -= n
	r.read += int64(n)
	return n
}

func (r *receiving) shift() {
	chunks.Put(r.chunks[0])
	kept := copy(r.chunks, r.chunks[1:])
	r.chunks[kept] = nil
	r.chunks, r.r = r.chunks[:kept], 0
}

// drop forgets what waits; it says how much that was.
func (r *receiving) drop() (n int) {
	for len(r.chunks) > 0 {
		r.shift()
	}
	n, r.buffered = r.buffered, 0
	return n
}
