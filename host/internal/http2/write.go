package http2

import (
	"runtime"
	"slices"
	"sync"

	"github.com/wasmgate/wasmgate/host/internal/http2/hpack"
)

// sending is the sending side of a connection, guarded by its lock.
type sending struct {
	enc           *hpack.Encoder
	out           *buffer // what is to be written; nil when that is nothing
	writing       bool    // somebody writes, and goes on until out is nil
	writeUntil    int64   // when the current Write is late; 0 when there is none
	window        int64   // what we may send on all streams
	initialWindow int64   // of new streams
	// queue are the streams that wait for window or for room in out, the longest first.
	queue      []*stream
	stallUntil int64 // when they have waited too long; 0 when nobody waits
	progress   int   // bytes of DATA since stallUntil was set
}

// maxOut is how many bytes may wait to be written before senders must wait too.
const maxOut = 32 << 10

// piece is what Options.Write is for.
const piece = 16 << 10

// maxData is the most in a DATA frame that we send: with its header it fills a TLS record
// (RFC 8446 5.1), so that no record of a few bytes follows each.
const maxData = piece - headerSize

// buffer is reused, and a pointer so that the pool need not allocate one.
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) release() {
	if cap(b.b) <= 4*maxOut {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

func (s *sending) init(server *Server) {
	s.enc = hpack.NewEncoder(hpack.DefaultTableSize, server.seed)
	s.window, s.initialWindow = defaultWindow, defaultWindow
}

// buffer is what frames are appended to.
func (s *sending) buffer() *buffer {
	if s.out == nil {
		s.out = buffers.Get().(*buffer)
	}
	return s.out
}

func (s *sending) append(frame []byte) {
	out := s.buffer()
	out.b = append(out.b, frame...)
}

func (s *sending) room() int {
	if s.out == nil {
		return maxOut
	}
	return maxOut - len(s.out.b)
}

func (s *sending) releaseOut() {
	if s.out != nil {
		s.out.release()
		s.out = nil
	}
}

// flush writes what is there, unless somebody else does already. Before that it lets
// others run, whose answers then leave together with this one: a Write is the dearest
// thing on the way. It gives c.mu up meanwhile.
func (c *conn) flush() {
	if c.writing || c.out == nil || c.gone {
		return
	}
	c.writing = true
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
	c.writeOut(4)
}

// flushElsewhere has a worker write what is there: the goroutine that reads must not wait
// for a client that waits for it.
func (c *conn) flushElsewhere() {
	if c.writing || c.out == nil || c.gone {
		return
	}
	c.writing = true
	c.active++
	c.s.workers.start(task{c: c})
}

func (c *conn) flushTask() {
	c.mu.Lock()
	c.writeOut(-1)
	c.leave()
}

// writeOut writes until nothing is left, or after that many rounds leaves the rest to a
// worker: who has sent its answer must not send others' for ever.
func (c *conn) writeOut(rounds int) {
	for ; c.out != nil && !c.gone; rounds-- {
		if rounds == 0 {
			c.active++
			c.s.workers.start(task{c: c})
			return
		}
		out := c.out
		c.out = nil
		c.writeUntil = c.s.o.Now() + int64(c.s.o.Write)*int64((len(out.b)+piece-1)/piece)
		c.mu.Unlock()
		_, err := c.t.Write(out.b)
		out.release()
		if err != nil {
			c.t.Abort()
		}
		c.mu.Lock()
		c.writeUntil = 0
		c.gone = c.gone || err != nil
		c.wakeSender()
	}
	c.writing = false
	if c.gone {
		c.releaseOut()
		c.wakeAll()
	}
	c.done.Broadcast()
}

// wakeAll wakes every sender, which finds that nothing can be sent any more.
func (c *conn) wakeAll() {
	for _, st := range c.streams {
		st.writable.Broadcast()
		st.readable.Broadcast()
	}
}

// wakeSender wakes the first stream in the queue that can go on. Whoever was woken does
// the same when it is done, so that there is always one as long as one can.
func (c *conn) wakeSender() {
	if len(c.queue) == 0 || c.room() <= headerSize {
		return
	}
	for i, st := range c.queue {
		if c.window > 0 || st.headOnly {
			c.queue = slices.Delete(c.queue, i, i+1)
			st.waiting = false
			st.writable.Broadcast()
			return
		}
	}
}

// setInitialWindow takes SETTINGS_INITIAL_WINDOW_SIZE, which moves the window of every
// stream, even below zero (RFC 9113 6.9.2).
func (c *conn) setInitialWindow(window int64) error {
	delta := window - c.initialWindow
	c.initialWindow = window
	if delta == 0 {
		return nil
	}
	for _, st := range c.streams {
		if st.window += delta; st.window > maxWindow {
			return faultWindow
		}
		st.writable.Broadcast()
	}
	return nil
}

// dead says why st can send nothing any more, nil when it can.
func (st *stream) dead() error {
	switch {
	case st.err != nil:
		return st.err
	case st.c.gone:
		return errGone
	}
	return nil
}

// send sends p as DATA, as the windows open, and ends the stream with it if end is set.
// c.mu is held, and given up while waiting.
func (st *stream) send(p []byte, end bool) (err error) {
	c := st.c
	for err = st.dead(); err == nil; err = st.dead() {
		size := int(max(0, min(int64(min(len(p), maxData, c.room()-headerSize)), st.window, c.window)))
		if size > 0 || len(p) == 0 {
			st.appendData(p[:size], end && size == len(p))
			st.x.Response.Sent += int64(size)
			if p = p[size:]; len(p) == 0 {
				break
			}
			continue
		}
		st.await(st.window > 0)
	}
	st.writeUntil, st.piece = 0, 0
	st.leaveQueue()
	c.wakeSender()
	if err == nil && end {
		st.localDone = true
		c.complete(st)
	}
	return err
}

func (st *stream) appendData(p []byte, end bool) {
	c := st.c
	if len(p) == 0 && !end {
		return
	}
	flags := uint8(0)
	if end {
		flags = flagEndStream
	}
	out := c.buffer()
	out.b = append(appendFrameHeader(out.b, len(p), frameData, flags, st.id), p...)
	st.window -= int64(len(p))
	c.window -= int64(len(p))
	c.budget.earn(gainData + int64(len(p))/gainBytes)
	if st.piece += len(p); st.piece >= piece {
		st.writeUntil, st.piece = 0, 0
	}
	if c.progress += len(p); c.progress >= piece {
		c.progress, c.stallUntil = 0, 0
		if len(c.queue) > 0 {
			c.stallUntil = c.s.o.Now() + int64(c.s.o.Write)
		}
	}
}

// await waits for what hinders st: in the queue for what all streams share, otherwise for
// its own window.
func (st *stream) await(shared bool) {
	c := st.c
	if c.out != nil && !c.writing {
		c.flush()
		return
	}
	now := c.s.o.Now()
	switch {
	case !shared:
		if st.writeUntil == 0 {
			st.writeUntil = now + int64(c.s.o.Write)
		}
		c.wakeSender()
	case !st.waiting:
		st.waiting = true
		c.queue = append(c.queue, st)
		if c.stallUntil == 0 {
			c.stallUntil, c.progress = now+int64(c.s.o.Write), 0
		}
	}
	st.writable.Wait()
}

// awaitRoom waits until a head can be appended.
func (st *stream) awaitRoom() error {
	for st.headOnly = true; st.dead() == nil && st.c.room() <= headerSize; {
		st.await(true)
	}
	st.headOnly = false
	st.leaveQueue()
	st.c.wakeSender()
	return st.dead()
}

func (st *stream) leaveQueue() {
	if st.waiting {
		st.waiting = false
		i := slices.Index(st.c.queue, st)
		st.c.queue = slices.Delete(st.c.queue, i, i+1)
	}
}

// tickSending gives up the streams that wait for a connection on which nothing moves: a
// client that takes answers at a trickle pays with all of them.
func (c *conn) tickSending(now int64) {
	if c.stallUntil == 0 || now <= c.stallUntil {
		return
	}
	c.stallUntil = 0
	for len(c.queue) > 0 {
		st := c.queue[0]
		st.leaveQueue()
		if st.err == nil {
			st.unread()
		}
	}
}
