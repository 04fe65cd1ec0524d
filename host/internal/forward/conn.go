package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/socket"
)

// grace is how long an answer may take before the call watches for its client to go
// away, unless that costs nothing: most answers come sooner and are spared it.
const grace = 100 * time.Millisecond

// conn is one connection to an upstream. It belongs to one call at a time.
type conn struct {
	net  net.Conn
	peer netip.AddrPort // invalid when it is no TCP connection
	up   *Upstream
	tcp  *socket.Conn // below net, or net itself; nil when it is no TCP connection

	reader  http1.Reader
	resp    http1.Response
	header  exchange.Header // of the answer, in the reader's buffer
	body    http1.Body
	trailer exchange.Header
	sending exchange.Header // of the request

	owner           owner // who is charged for it
	born, idleSince time.Time
	reused          bool // since it was taken
	broken          bool // must not be used again

	// The waits of the call under way.
	ctx      context.Context
	total    time.Time // when the whole call is over; zero is never
	wait     time.Duration
	waitKind Kind
	now      time.Time // when the next wait begins; zero is unknown
	unsent   []byte    // the request, which goes out with the first Read
	watching bool
	stop     func() // ends the waits, made once
	unwatch  func() bool
	armed    time.Time // read deadline that is set; zero is unknown
	armedOut time.Time // write deadline that is set
	direct   bool      // deadlines are set from outside
	sent     bool      // something of the request is out
	got      bool      // the answer has begun
}

func newConn(u *Upstream, n net.Conn, tcp *socket.Conn, now time.Time) *conn {
	c := &conn{net: n, up: u, tcp: tcp, born: now, stop: func() { n.SetDeadline(past) }}
	if a, ok := n.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	}
	c.reader.Reset(c)
	return c
}

// asks tells whether the request can go out by socket.Conn.Exchange, which itself finds out
// whether c is alive: not when TLS comes between, nor on a new connection, whose peer may
// say that it is overloaded before it was asked anything.
func (c *conn) asks() bool { return c.reused && c.tcp != nil && c.up.tls == nil }

// alive tells whether a kept connection can be used: the upstream has neither ended it nor
// sent what nobody asked for.
func (c *conn) alive() bool {
	if c.tcp != nil && !c.tcp.Silent() {
		return false
	}
	if c.up.tls == nil {
		return true
	}
	// A record that was received together with the last answer waits inside crypto/tls. A Read
	// whose time is over gives that and nothing else.
	var b [1]byte
	c.armed = past
	c.net.SetReadDeadline(past)
	n, err := c.net.Read(b[:])
	return n == 0 && isDeadline(err)
}

// Close closes the connection. The upstream must be told by gone.
func (c *conn) Close() { c.net.Close() }

// begin starts a call that is over at total.
func (c *conn) begin(ctx context.Context, total time.Time) {
	c.ctx, c.total, c.sent, c.got, c.broken = ctx, total, false, false, false
	c.now, c.unsent = time.Time{}, nil
	if _, cheap := ctx.(exchange.Canceller); cheap {
		c.watch()
	}
}

// expect says how long the following reads may wait each, and what it means when they do.
func (c *conn) expect(wait time.Duration, kind Kind) { c.wait, c.waitKind = wait, kind }

// release ends the call: c is kept if all went well and nothing is left over.
func (c *conn) release(now time.Time) {
	if c.watching && !c.ignore() {
		c.broken = true
	}
	c.ctx, c.unsent = nil, nil
	c.sending.Reset()
	// Bytes beyond the answer would be taken for the next one.
	if c.broken || c.resp.Close || c.reader.Buffered() > 0 || !c.body.Done() {
		c.Close()
		c.reader.Reset(nil)
		c.up.gone(c.owner)
		return
	}
	c.reader.Done()
	c.up.put(c, now)
}

// watch ends the waits when the client goes away.
func (c *conn) watch() {
	if !c.watching {
		c.watching = true
		if canceller, ok := c.ctx.(exchange.Canceller); !ok {
			c.unwatch = context.AfterFunc(c.ctx, c.stop)
		} else if !canceller.OnCancel(c.stop) {
			c.stop()
		}
	}
}

// ignore is the end of watch; false when the client has gone away, and the deadlines are
// spoiled or being so.
func (c *conn) ignore() bool {
	c.watching = false
	if canceller, ok := c.ctx.(exchange.Canceller); ok {
		return canceller.Forget()
	}
	return c.unwatch()
}

// end is when a wait that begins now is over.
func (c *conn) end(now time.Time) (time.Time, Kind) {
	end, kind := now.Add(c.wait), c.waitKind
	if !c.total.IsZero() && c.total.Before(end) {
		end, kind = c.total, TimeoutTotal
	}
	return end, kind
}

// Read waits for the upstream, for http1.
func (c *conn) Read(p []byte) (int, error) {
	if c.direct {
		return c.net.Read(p)
	}
	now := c.now
	if c.now = (time.Time{}); now.IsZero() {
		now = time.Now()
	}
	end, kind := c.end(now)
	for {
		if !end.After(now) {
			c.broken = true
			return 0, failf(kind, "no byte in time")
		}
		until := end
		if !c.watching {
			if soon := now.Add(grace); soon.Before(until) {
				until = soon
			}
		}
		c.arm(now, until, end)
		if c.watching && c.ctx.Err() != nil {
			c.broken = true
			return 0, fail(ClientGone, c.ctx.Err())
		}
		n, err := c.take(p)
		if n > 0 {
			c.got = true
			return n, nil
		}
		if !isDeadline(err) {
			c.broken = true
			return 0, c.readError(err)
		}
		if c.ctx.Err() != nil {
			c.broken = true
			return 0, fail(ClientGone, c.ctx.Err())
		}
		c.watch()
		now = time.Now()
	}
}

// take sends what is unsent and reads.
func (c *conn) take(p []byte) (int, error) {
	if c.unsent == nil {
		return c.net.Read(p)
	}
	sent, n, err := c.tcp.Exchange(c.unsent, p)
	c.sent = sent > 0
	rest := c.unsent[sent:]
	c.unsent = nil
	switch {
	case len(rest) > 0 && err == nil:
		if err = c.write(rest); err == nil {
			return c.net.Read(p)
		}
	case len(rest) > 0 && isDeadline(err):
		c.unsent = rest
	}
	return n, err
}

// arm sets the read deadline to until or a little later, but hardly later than end. One
// that is about right stays: on a busy connection it is set once a second rather than for
// each answer.
func (c *conn) arm(now, until, end time.Time) {
	latest := end.Add(end.Sub(now) / 16)
	if soon := until.Add(time.Second); soon.Before(latest) {
		latest = soon
	}
	if c.armed.Before(until) || c.armed.After(latest) {
		c.armed = latest
		c.net.SetReadDeadline(latest)
	}
}

func (c *conn) readError(err error) error {
	if err == io.EOF {
		return err // http1 says what it means here
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return fail(Reset, err)
}

// armWrite sets the write deadline, unless one is set that is about right.
func (c *conn) armWrite(now time.Time) {
	end := now.Add(c.up.f.options.Idle)
	if latest := end.Add(c.up.f.options.Idle / 16); c.armedOut.Before(end) || c.armedOut.After(latest) {
		c.armedOut = latest
		c.net.SetWriteDeadline(latest)
	}
}

// ask sends a request, all that will be sent before something is read; b must stay as it is
// until then.
func (c *conn) ask(b []byte) error {
	if !c.asks() || c.sent {
		return c.write(b)
	}
	c.unsent = b
	return nil
}

// write sends b, all of it.
func (c *conn) write(b []byte) error {
	c.armWrite(time.Now())
	if c.watching && c.ctx.Err() != nil {
		return fail(ClientGone, c.ctx.Err())
	}
	n, err := c.net.Write(b)
	c.sent = c.sent || n > 0
	if err == nil {
		return nil
	}
	c.broken = true
	switch {
	case c.ctx.Err() != nil:
		return fail(ClientGone, c.ctx.Err())
	case isDeadline(err):
		return fail(TimeoutIdle, err)
	}
	return fail(Reset, err)
}

func isDeadline(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
