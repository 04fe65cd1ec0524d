package http2

import (
	"context"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

var _ exchange.Canceller = (*requestContext)(nil)

// requestContext ends when the client resets the stream or goes away, and with the
// request. It is made for each request, because handlers may keep it; what most requests
// never ask for is made when they do.
type requestContext struct {
	mu       sync.Mutex
	done     chan struct{}
	err      error
	onCancel func()
	funcs    map[*byte]func()
}

// OnCancel implements exchange.Canceller.
func (c *requestContext) OnCancel(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.onCancel = f
	return true
}

// Forget implements exchange.Canceller.
func (c *requestContext) Forget() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.onCancel != nil
	c.onCancel = nil
	return waiting
}

// Deadline implements context.Context.
func (*requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (*requestContext) Value(any) any { return nil }

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// AfterFunc spares package context a goroutine per derived context.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f() // owned by whoever registered it, as with context.AfterFunc
		return func() bool { return false }
	}
	if c.funcs == nil {
		c.funcs = map[*byte]func(){}
	}
	key := new(byte)
	c.funcs[key] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.funcs[key]
		delete(c.funcs, key)
		return waiting
	}
}

func (c *requestContext) cancel() {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	if c.onCancel != nil {
		c.onCancel() // with the lock, so that it does not run once Forget has returned
		c.onCancel = nil
	}
	funcs := c.funcs
	c.funcs = nil
	c.mu.Unlock()
	for _, f := range funcs {
		go f() // owned by whoever registered it, as with context.AfterFunc
	}
}
