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
	open      int
	waiting   []chan *conn // each gets a connection, or nil for the right to open one
	lastUse   time.Time
	forgotten bool
}

// errForgotten says that the Forwarder does not know the upstream any more; see adopt.
var errForgotten = errors.New("upstream was forgotten")

// String is scheme, host and port as in a URL.
func (u *Upstream) String() string { return u.name }

// Authority is the Host of a call that names none.
func (u *Upstream) Authority() string { return u.authority }

// get takes a kept connection, which may be dead, or opens one. fresh asks for a new one.
func (u *Upstream) get(ctx context.Context, now time.Time, until time.Time, fresh bool) (*conn, error) {
	for {
		c, wait, err := u.take(now, fresh)
		if err != nil {
			return nil, err
		}
		if wait != nil {
			if c, err = u.await(ctx, wait, until); err != nil {
				return nil, err
			}
		}
		if c == nil {
			return u.connect(ctx, now, until)
		}
		if !fresh && now.Sub(c.born) < u.f.options.KeepFor {
			c.reused = true
			return c, nil
		}
		c.Close()
		u.gone()
	}
}

// take gives a kept connection, or nil for the right to open one, or a channel to wait on.
func (u *Upstream) take(now time.Time, fresh bool) (*conn, chan *conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.forgotten {
		return nil, nil, errForgotten
	}
	u.lastUse = now
	if n := len(u.idle); n > 0 && (!fresh || u.open >= u.f.options.MaxConns) {
		c := u.idle[n-1]
		u.idle[n-1] = nil
		u.idle = u.idle[:n-1]
		return c, nil, nil
	}
	if u.open < u.f.options.MaxConns {
		u.open++
		return nil, nil, nil
	}
	wait := make(chan *conn, 1)
	u.waiting = append(u.waiting, wait)
	return nil, wait, nil
}

func (u *Upstream) await(ctx context.Context, wait chan *conn, until time.Time) (*conn, error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	var err error
	select {
	case c := <-wait:
		return c, nil
	case <-ctx.Done():
		err = fail(ClientGone, ctx.Err())
	case <-timer.C:
		err = failf(Busy, "all %d connections are in use", u.f.options.MaxConns)
	}
	u.mu.Lock()
	if i := slices.Index(u.waiting, wait); i >= 0 {
		u.waiting = slices.Delete(u.waiting, i, i+1)
		u.mu.Unlock()
		return nil, err
	}
	u.mu.Unlock()
	// It was given something meanwhile: that goes to the next.
	if c := <-wait; c != nil {
		u.put(c, time.Now())
	} else {
		u.gone()
	}
	return nil, err
}

// connect opens a connection; the right to do so is given back when that fails.
func (u *Upstream) connect(ctx context.Context, now, until time.Time) (*conn, error) {
	net, tcp, err := u.dial(ctx, until)
	if err != nil {
		u.gone()
		return nil, err
	}
	return newConn(u, net, tcp, now), nil
}

// put keeps c for the next call.
func (u *Upstream) put(c *conn, now time.Time) {
	u.mu.Lock()
	if len(u.waiting) > 0 {
		wait := u.waiting[0]
		u.waiting = slices.Delete(u.waiting, 0, 1)
		u.mu.Unlock()
		wait <- c
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
func (u *Upstream) gone() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.waiting) > 0 {
		u.waiting[0] <- nil
		u.waiting = slices.Delete(u.waiting, 0, 1)
		return
	}
	u.open--
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
