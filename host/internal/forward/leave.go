package forward

import (
	"crypto/tls"
	"time"
)

// The load of an upstream is the requests that it works on, not those that somebody waits
// for. A client that gives up its requests, or whose bodies never come, would have any
// number of them at work at an upstream that does not notice, or not at once, that its
// connections were closed: rapid reset (CVE-2023-44487) at one remove. So a connection whose
// request is out and whose answer has not begun keeps its slot, and its owner the charge for
// it, until the upstream has let go of it.

// abandons tells whether a failure leaves the upstream at work on a request that nobody
// waits for any more, through no fault of its own.
func (c *conn) abandons(e *Error) bool {
	return (e.Kind == ClientGone || e.Kind == RequestBody) && c.sent && !c.got
}

// leave ends the call as release does, but what is left of it at the upstream only by saying
// that no more comes, which most take for the end of the client. Whatever then happens on the
// connection, that it is closed or that the answer begins, gives the slot back, and at the
// latest the end of patience.
func (c *conn) leave(patience time.Duration) {
	if c.watching {
		c.ignore()
	}
	c.ctx, c.unsent = nil, nil
	c.sending.Reset()
	u := c.up
	if c.tcp == nil || !u.keep(c) {
		c.reader.Reset(nil)
		c.Close()
		u.gone(c.owner)
		return
	}
	go func() { // ends with the wait, which Forwarder.Close ends; it waits
		defer u.f.leaving.Done()
		c.net.SetDeadline(time.Now().Add(patience))
		if t, ok := c.net.(*tls.Conn); ok {
			t.CloseWrite()
		}
		c.tcp.CloseWrite()
		var b [1]byte
		c.net.Read(b[:])
		u.mu.Lock()
		delete(u.left, c)
		u.mu.Unlock()
		c.reader.Reset(nil)
		c.Close()
		u.gone(c.owner)
	}()
}

// keep notes that c is left, of which leaving is told when it is done; false when the
// Forwarder closes.
func (u *Upstream) keep(c *conn) bool {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	if u.f.closed {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.left == nil {
		u.left = make(map[*conn]struct{})
	}
	u.left[c] = struct{}{}
	u.f.leaving.Add(1)
	return true
}
