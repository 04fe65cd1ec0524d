package http2

import (
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// stream is one request and its answer. Everything but x is guarded by the connection's
// lock; x belongs to the goroutine that reads until the request is handed over, then to
// the worker.
type stream struct {
	c  *conn
	id uint32
	x  *exchange.Exchange
	// inform is st.sendInformational, made once.
	inform  func(int, *exchange.Header) error
	ctx     *requestContext
	text    []byte // path and authority of x
	scratch [32]byte

	refusal    *http1.Refusal // answered in the handler's place
	skipped    int            // fields of the head that were too many
	size       int            // of head and trailers, as RFC 9113 6.5.2 counts
	err        error          // why the stream is of no use any more
	opened     bool           // it is one of the connection's streams
	working    bool           // a worker has it
	counted    bool           // it has one of the connection's slots
	abandoned  bool           // its handler works for nobody
	held       bool           // not handed over before its end was seen
	remoteDone bool           // the client has ended it
	localDone  bool           // we have
	started    bool           // the final head was sent
	late       bool           // the body was too slow
	waiting    bool           // in the connection's queue of senders
	headOnly   bool           // it waits to send a head, which needs no window

	readable   sync.Cond
	writable   sync.Cond
	readUntil  int64 // when a wait for the body is over; 0 when there is none
	writeUntil int64 // when a wait for the stream's window is over
	piece      int   // bytes that writeUntil is for
	window     int64 // what we may still send

	recv receiving
}

var streams = sync.Pool{New: func() any { return new(stream) }}

// acquireStream makes a stream that is not open yet.
func acquireStream(c *conn, id uint32) *stream {
	st := streams.Get().(*stream)
	st.c, st.id, st.x = c, id, exchange.Acquire()
	if st.inform == nil {
		st.inform = st.sendInformational
	}
	st.readable.L, st.writable.L = &c.mu, &c.mu
	st.recv.length, st.recv.window = -1, streamWindowSize
	return st
}

// release gives st back; nobody else knows it any more.
func (st *stream) release() {
	st.x.Release()
	text, recv := st.text[:0], st.recv
	if cap(text) > 4<<10 {
		text = nil
	}
	recv.reset()
	*st = stream{inform: st.inform, text: text, recv: recv}
	streams.Put(st)
}

// find is the open stream of that number, nil when there is none.
func (c *conn) find(id uint32) *stream {
	for i := len(c.ids) - 1; i >= 0; i-- {
		if c.ids[i] == id {
			return c.streams[i]
		}
	}
	return nil
}

// open makes st one of the connection's streams.
func (c *conn) open(st *stream) {
	c.ids, c.streams = append(c.ids, st.id), append(c.streams, st)
	c.slots++
	c.heads += st.size
	st.opened, st.counted = true, true
	st.window = c.initialWindow
}

// remove forgets st, which is closed now; ours says that the client may not know yet.
func (c *conn) remove(st *stream, ours bool) {
	for i, id := range c.ids {
		if id == st.id {
			last := len(c.ids) - 1
			c.ids[i], c.streams[i] = c.ids[last], c.streams[last]
			c.streams[last] = nil
			c.ids, c.streams = c.ids[:last], c.streams[:last]
			break
		}
	}
	st.opened = false
	c.closed.add(st.id, ours)
	// A client whose streams end unread must get its window back, or it can send no further
	// body on the connection.
	c.unacked += int64(st.recv.drop())
	c.creditConn()
}

// complete closes st, whose answer is out. When the client has not ended its request it is
// told to stop (RFC 9113 8.1).
func (c *conn) complete(st *stream) {
	if !st.remoteDone {
		c.append(appendRSTStream(nil, st.id, codeNo))
	}
	c.remove(st, !st.remoteDone)
	c.uncount(st)
	if st.refusal == nil {
		c.budget.earn(gainRequest)
	}
	c.finishIfDrained()
}

// uncount gives st's slot back.
func (c *conn) uncount(st *stream) {
	if st.counted {
		st.counted = false
		c.slots--
		c.heads -= st.size
	}
}

// kill closes st for err. Its slot stays taken until its handler has returned, whatever
// the client does meanwhile.
func (c *conn) kill(st *stream, err error, ours bool) {
	st.err = err
	c.remove(st, ours)
	if st.working {
		c.abandon(st)
		st.ctx.cancel()
		st.readable.Broadcast()
		st.writable.Broadcast()
	} else {
		c.uncount(st)
		st.release()
	}
	c.finishIfDrained()
}

// reset resets st; c.mu is held.
func (c *conn) reset(st *stream, code code, err error) {
	c.append(appendRSTStream(nil, st.id, code))
	c.kill(st, err, true)
}

// resetFor resets st for a fault of the client.
func (c *conn) resetFor(st *stream, f *fault) error {
	c.s.refused(&c.p, nil, &f.Refusal)
	c.reset(st, f.code, errFaulty)
	return c.chargeReset()
}

// dispatch hands st to a worker.
func (c *conn) dispatch(st *stream) {
	st.working, st.ctx = true, new(requestContext)
	c.active++
	c.idleSince, c.rested = 0, false
	c.s.workers.start(task{c, st})
	if c.drained.late {
		c.drainLocked()
	}
}

// serve answers st, on a worker.
func (st *stream) serve() {
	c, x := st.c, st.x
	c.s.o.Identify(x)
	x.Remote, x.Conn, x.Context = c.p.Remote, c.p.Info, st.ctx
	if st.refusal != nil {
		st.refuse()
		_ = st.respond() // nobody is there who would want to know
	} else {
		c.s.o.Handler.ServeExchange(x)
		err := st.respond()
		if c.s.finisher != nil {
			c.s.finisher.FinishExchange(x, err)
		}
	}
	st.ctx.cancel()
	c.mu.Lock()
	if st.opened { // the connection broke before the answer was out
		c.remove(st, false)
	}
	c.uncount(st)
	c.settle(st)
	st.release()
	c.leave()
}

// leave is the end of a worker's task; it unlocks c.mu.
func (c *conn) leave() {
	c.active--
	if c.active == 0 {
		c.done.Broadcast()
	}
	c.mu.Unlock()
}

// tick ends what is late; c.mu is held.
func (st *stream) tick(now int64) {
	c := st.c
	switch {
	case st.held && now > st.readUntil:
		_ = c.resetFor(st, streamHeld) // the reading goroutine sees the budget
		c.flushElsewhere()
	case st.writeUntil > 0 && now > st.writeUntil:
		st.unread()
	case !st.held && st.readUntil > 0 && now > st.readUntil:
		st.late = true
		st.readable.Broadcast()
	}
}

// unread gives st up: the client does not take its answer.
func (st *stream) unread() {
	c := st.c
	c.s.refused(&c.p, nil, &streamUnread.Refusal)
	c.reset(st, streamUnread.code, errTooSlow)
	_ = c.budget.spend(costReset, c.s.o.Now()) // the reading goroutine sees it
	c.flushElsewhere()
}

// closedRing remembers the streams that were closed last: a frame on one that we have
// reset may have been on its way, on another it is a fault (RFC 9113 5.1).
type closedRing struct {
	ids  *[128]uint32
	next uint8
}

const resetByUs = 1 << 31

func (r *closedRing) add(id uint32, ours bool) {
	if r.ids == nil {
		r.ids = new([128]uint32)
	}
	if ours {
		id |= resetByUs
	}
	r.ids[r.next%128] = id
	r.next++
}

func (r *closedRing) has(id uint32) (known, ours bool) {
	if r.ids == nil {
		return false, false
	}
	for _, closed := range r.ids {
		if closed&^resetByUs == id {
			return true, closed&resetByUs != 0
		}
	}
	return false, false
}

// start notes when a request was complete enough to be handed over.
func (st *stream) start() { st.x.Start = time.Now() }
