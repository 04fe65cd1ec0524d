package http2

import (
	"errors"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/http2/hpack"
)

// conn is one connection.
type conn struct {
	s     *Server
	p     Peer
	t     Transport
	index int // in Server.conns, guarded by its lock

	// Of the goroutine that reads.
	in      input
	dec     *hpack.Decoder
	block   block
	data    dataFrame
	began   bool  // the preface came
	settled bool  // the client's SETTINGS came
	acked   bool  // the client acknowledged ours
	partial int64 // until when a frame or header block that has begun must be whole

	mu   sync.Mutex
	done sync.Cond // of finishing: no worker, nobody writing

	ids     []uint32  // of streams, at the same places
	streams []*stream // open ones
	lastID  uint32    // highest that the client used
	slots   int       // requests that count against Options.Streams
	heads   int       // bytes of their heads and trailers
	orphans int       // those of them that are abandoned
	active  int       // workers
	closed  closedRing

	recvWindow int64 // what the client may still send
	unacked    int64 // what it may get on top, not announced yet

	sending // write.go

	budget    budget
	readUntil int64 // deadline of the reading goroutine; 0 is none
	idleSince int64 // 0 while there are streams
	between   bool  // the reading goroutine waits, or has waited, for a whole frame
	rested    bool  // the transport was asked to rest since the last request
	drained   drainState
	closing   bool // GOAWAY was sent for the last time
	gone      bool // nothing can be sent any more
}

func newConn(s *Server, p Peer) *conn {
	c := &conn{s: s, p: p, t: p.Transport, dec: hpack.NewDecoder(hpack.DefaultTableSize), recvWindow: connWindowSize}
	c.done.L = &c.mu
	c.partial = s.o.Now() + int64(s.o.Head)
	c.sending.init(s)
	c.budget.init(s.o.Now())
	return c
}

// end ends the connection because of err.
func (c *conn) end(err error) {
	c.in.release()
	c.mu.Lock()
	f, faulty := errors.AsType[*fault](err)
	if faulty {
		c.s.refused(&c.p, nil, &f.Refusal)
		c.fail(f)
	}
	told := c.closing && !c.gone
	c.killAll()
	if told {
		for c.writing {
			c.done.Wait()
		}
		c.flush()
	}
	told = told && !c.gone
	c.gone = true
	c.mu.Unlock()
	if told {
		c.t.Linger()
	} else {
		c.t.Abort()
	}
	c.mu.Lock()
	for c.active > 0 || c.writing {
		c.done.Wait()
	}
	c.releaseOut()
	c.mu.Unlock()
}

// fail ends the connection with GOAWAY; c.mu is held.
func (c *conn) fail(f *fault) {
	if !c.closing {
		c.closing = true
		c.append(appendGoAway(nil, c.lastID, f.code))
	}
}

// finish ends the connection without a fault, whose GOAWAY was sent; c.mu is held.
func (c *conn) finish() {
	c.closing = true
	c.wake()
}

// wake makes Read return, so that the reading goroutine sees what has changed.
func (c *conn) wake() { c.t.SetReadDeadline(time.Unix(1, 0)) }

// killAll ends all streams; c.mu is held.
func (c *conn) killAll() {
	for len(c.streams) > 0 {
		c.kill(c.streams[len(c.streams)-1], errGone, false)
	}
}

// read reads until the connection ends or rests; a [*fault] is still to be told to the client.
func (c *conn) read() error {
	if !c.began {
		if err := c.readPreface(); err != nil {
			return err
		}
		c.began = true
	}
	for {
		if more, err := c.step(); err != nil {
			return err
		} else if more {
			continue
		}
		if err := c.await(); err != nil {
			return err
		}
	}
}

func (c *conn) readPreface() error {
	for {
		b := c.in.bytes()
		n := min(len(b), len(preface))
		if string(b[:n]) != preface[:n] {
			return faultPreface
		}
		if n == len(preface) {
			c.in.advance(n)
			return nil
		}
		if err := c.await(); err != nil {
			return err
		}
	}
}

// await waits for more bytes. A frame or block of which a part is there must be whole in
// time, however often a byte of it comes; DATA is the business of whoever waits for it.
func (c *conn) await() error {
	between := c.in.empty() && !c.block.open && c.data.left == 0
	switch {
	case between && c.settled:
		c.partial = 0
	case c.partial == 0 && c.data.left == 0:
		c.partial = c.s.o.Now() + int64(c.s.o.Head)
	}
	c.mu.Lock()
	if c.closing || c.gone {
		c.mu.Unlock()
		return errConnected
	}
	c.readUntil = c.partial
	if c.out != nil && !c.writing {
		c.flushElsewhere()
	}
	c.between = between && c.settled
	idle := c.between && len(c.streams) == 0
	c.mu.Unlock()
	if idle {
		c.dec.Trim()
		return c.in.wait(c.t)
	}
	for {
		if err := c.in.fill(c.t); err != ErrRest || c.mayRest() {
			return err
		}
	}
}

// mayRest tells whether there is nothing to do but to wait for a request.
func (c *conn) mayRest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.between || len(c.streams) > 0 {
		return false
	}
	c.in.release()
	return true
}

// step handles one frame, or what has come of a DATA frame; false when there is none.
func (c *conn) step() (more bool, err error) {
	b := c.in.bytes()
	if c.data.left > 0 {
		if len(b) == 0 {
			return false, nil
		}
		n, err := c.takeData(b)
		c.in.advance(n)
		return true, err
	}
	if len(b) < headerSize {
		return false, nil
	}
	h := parseFrameHeader(b)
	switch {
	case h.length > maxFrame:
		return false, faultFrameSize
	case !c.settled && (h.kind != frameSettings || h.has(flagAck)):
		return false, faultPreface
	case c.block.open && (h.kind != frameContinuation || h.stream != c.block.stream):
		return false, faultContinuation
	case h.kind == frameData:
		n, err := c.startData(h, b[headerSize:])
		if n > 0 {
			c.partial = 0
		}
		c.in.advance(n)
		return n > 0, err
	case len(b) < headerSize+h.length:
		return false, nil
	}
	err = c.frame(h, b[headerSize:headerSize+h.length])
	c.in.advance(headerSize + h.length)
	if !c.block.open {
		c.partial = 0
	}
	return true, err
}
