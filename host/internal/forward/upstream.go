package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Upstream is one server that is called, with its kept connections. It is safe for
// concurrent use and belongs to its [Forwarder].
type Upstream struct {
	f         *Forwarder
	target    Target
	authority string
	name      string      // scheme, host and port
	tls       *tls.Config // nil for http

	resolving     chan struct{} // held by who resolves; guards the next two
	addrs         []netip.Addr
	resolvedUntil time.Time

	mu        sync.Mutex
	idle      []*conn // the last used one at the end
	open      int     // connections that are open or being opened
	waiting   []waiter
	shares    shares
	lastUse   time.Time
	forgotten bool
}

// errForgotten says that the Forwarder does not know the upstream any more; see adopt.
var errForgotten = errors.New("upstream was forgotten")

// String is scheme, host and port as in a URL.
func (u *Upstream) String() string { return u.name }

// Authority is the Host of a call that names none.
func (u *Upstream) Authority() string { return u.authority }

// slot is the right to use one of an upstream's connections: a kept one, or one that is
// still to be opened. It is owed back by put or gone.
type slot struct {
	conn  *conn // nil when it is to be opened
	owner owner // who is charged for it; nil when nobody is
}

// waiter is who waits for a slot.
type waiter struct {
	owner owner
	given chan slot // has room for one
}

// get takes a kept connection, which may be dead, or opens one, for owner. fresh asks for a
// new one.
func (u *Upstream) get(ctx context.Context, owner owner, now time.Time, until time.Time, fresh bool) (*conn, error) {
	for {
		s, wait, err := u.take(owner, now, fresh)
		if err != nil {
			return nil, err
		}
		if wait != nil {
			if s, err = u.await(ctx, wait, until); err != nil {
				return nil, err
			}
		}
		if s.conn == nil {
			return u.connect(ctx, s, now, until)
		}
		c := s.conn
		c.owner = s.owner
		if !fresh && now.Sub(c.born) < u.f.options.KeepFor {
			c.reused = true
			return c, nil
		}
		c.Close()
		u.gone(c.owner)
	}
}

// take gives a slot, or a channel to wait on for one.
func (u *Upstream) take(owner owner, now time.Time, fresh bool) (slot, chan slot, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.forgotten {
		return slot{}, nil, errForgotten
	}
	u.lastUse = now
	most, n := u.f.options.MaxConns, len(u.idle)
	if used := u.open - n; u.shares.may(owner, used, most) {
		if n > 0 && (!fresh || u.open >= most) {
			c := u.idle[n-1]
			u.idle[n-1] = nil
			u.idle = u.idle[:n-1]
			return slot{c, u.shares.charge(owner, used, most)}, nil, nil
		}
		if u.open < most {
			u.open++
			return slot{nil, u.shares.charge(owner, used, most)}, nil, nil
		}
	}
	wait := make(chan slot, 1)
	u.waiting = append(u.waiting, waiter{owner, wait})
	return slot{}, wait, nil
}

func (u *Upstream) await(ctx context.Context, wait chan slot, until time.Time) (slot, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	var err error
	select {
	case s := <-wait:
		return s, nil
	case <-ctx.Done():
		err = fail(ClientGone, ctx.Err())
	case <-timer.C:
		err = failf(Busy, "all connections that this client may have of %d are in use", u.f.options.MaxConns)
	}
	u.mu.Lock()
	if i := slices.IndexFunc(u.waiting, func(w waiter) bool { return w.given == wait }); i >= 0 {
		u.waiting = slices.Delete(u.waiting, i, i+1)
		u.mu.Unlock()
		return slot{}, err
	}
	u.mu.Unlock()
	// It was given something meanwhile: that goes to the next.
	if s := <-wait; s.conn != nil {
		s.conn.owner = s.owner
		u.put(s.conn, time.Now())
	} else {
		u.gone(s.owner)
	}
	return slot{}, err
}

// connect opens a connection; the right to do so is given back when that fails.
func (u *Upstream) connect(ctx context.Context, s slot, now, until time.Time) (*conn, error) {
	net, tcp, err := u.dial(ctx, until)
	if err != nil {
		u.gone(s.owner)
		return nil, err
	}
	c := newConn(u, net, tcp, now)
	c.owner = s.owner
	return c, nil
}

// pass gives a slot that owner had to who waits longest of those that may have it; false
// when there is nobody. u.mu is held.
func (u *Upstream) pass(c *conn, owner owner) bool {
	u.shares.discharge(owner)
	used, most := u.open-len(u.idle)-1, u.f.options.MaxConns
	for i, w := range u.waiting {
		if u.shares.may(w.owner, used, most) {
			u.waiting = slices.Delete(u.waiting, i, i+1)
			w.given <- slot{c, u.shares.charge(w.owner, used, most)}
			return true
		}
	}
	return false
}

// put keeps c for the next call.
func (u *Upstream) put(c *conn, now time.Time) {
	u.mu.Lock()
	owner := c.owner
	c.owner = nil
	if u.pass(c, owner) {
		u.mu.Unlock()
		return
	}
	if len(u.idle) < u.f.options.MaxIdle && !u.forgotten {
		c.idleSince = now
		u.idle = append(u.idle, c)
		u.mu.Unlock()
		return
	}
	u.open--
	u.mu.Unlock()
	c.Close()
}

// gone says that a connection was closed, or was not opened: whoever waits may open one.
func (u *Upstream) gone(owner owner) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.pass(nil, owner) {
		u.open--
	}
}

// expire closes connections that were unused for too long or that the upstream closed,
// and tells whether u itself has not been used for ten times that.
func (u *Upstream) expire(now time.Time) (forget bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kept := u.idle[:0]
	for _, c := range u.idle {
		if now.Sub(c.idleSince) < u.f.options.KeepIdle && now.Sub(c.born) < u.f.options.KeepFor && c.alive() {
			kept = append(kept, c)
			continue
		}
		u.open--
		c.Close()
	}
	clear(u.idle[len(kept):])
	u.idle = kept
	u.forgotten = u.open == 0 && len(u.waiting) == 0 && now.Sub(u.lastUse) > 10*u.f.options.KeepIdle
	return u.forgotten
}

// shut closes all unused connections and keeps none from now on.
func (u *Upstream) shut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgotten = true
	u.open -= len(u.idle)
	for _, c := range u.idle {
		c.Close()
	}
	u.idle = nil
}
