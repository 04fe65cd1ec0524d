package guest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// maxHooks is one more than the greatest id of a hook.
const maxHooks = int(abi.HookObserve) + 1

// Policy is a bound plugin with its pool of instances. It is safe for concurrent use.
type Policy struct {
	name       string
	module     *compiled
	config     []byte
	fuel       uint64
	memory     uint64
	most       int // instances at once
	fresh      bool
	image      *image // nil when not fresh, or not portable
	host       hostState
	identity   []string
	configured configure // of the first instance
	masks      [maxHooks]abi.Mask
	has        [maxHooks]bool
	create     func(context.Context) (*instance, error) // makes an instance

	mu      sync.Mutex
	free    []*instance      // idle, the last used at the end: it is warm
	total   int              // instances that are or are being made
	waiters []chan *instance // first come, first served; nil hands over the right to make one
	closed  bool
}

// Call is one decision: its record in, its result out.
type Call interface {
	// Encode writes the request record into the guest's scratch area and gives its length.
	Encode(scratch []byte) (int, error)
	// Decode reads the result, which is the guest's memory: what it keeps it copies.
	Decode(result []byte) error
}

// Name is the policy's plugin, as bound.
func (p *Policy) Name() string { return p.name }

// Has tells whether the plugin exports the hook.
func (p *Policy) Has(h abi.Hook) bool { return int(h) < maxHooks && p.has[h] }

// Mask is what the hook wants to see of a request; nothing for a hook it does not export.
func (p *Policy) Mask(h abi.Hook) abi.Mask {
	if int(h) >= maxHooks {
		return abi.Mask{}
	}
	return p.masks[h]
}

// Identity is the selectors that make the identity of the policy's verdicts.
func (p *Policy) Identity() []string { return p.identity }

// Configured is the result record of the configure hook, empty when the plugin exports none
// or said nothing, and the fuel it took.
func (p *Policy) Configured() (result []byte, fuelUsed uint64) {
	return p.configured.answer, p.configured.fuel
}

// Memory is how many bytes of linear memory the idle instances have.
func (p *Policy) Memory() (bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, in := range p.free {
		bytes += in.linear.size
	}
	return bytes
}

// Stats is how many instances there are, and how many of them are idle.
func (p *Policy) Stats() (instances, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total, len(p.free)
}

// Call runs a hook once and tells the fuel it took, also when it fails. An error is an
// [*Error], and costs only this call. When all instances are at work the call waits for
// one until ctx ends. ctx also bounds what the guest does in host calls; its CPU is bounded
// by fuel alone.
func (p *Policy) Call(ctx context.Context, h abi.Hook, c Call) (fuelUsed uint64, err error) {
	return p.CallWith(ctx, h, c, nil)
}

// CallWith is Call with what this one call's capabilities reach, a KV among it; nil is the
// policy's.
func (p *Policy) CallWith(ctx context.Context, h abi.Hook, c Call, powers *Powers) (fuelUsed uint64, err error) {
	if !p.Has(h) {
		return 0, &Error{Plugin: p.name, Hook: h, Kind: KindModule, Err: errors.New("the plugin does not export this hook")}
	}
	in, err := p.acquire(ctx)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return 0, e
		}
		return 0, &Error{Plugin: p.name, Hook: h, Kind: KindBusy, Err: err}
	}
	if powers != nil {
		in.powers = powers
	}
	defer p.release(in) // also when the caller's Encode or Decode panics
	return in.call(ctx, h, c, p.fuel)
}

// Close ends the policy: idle instances are closed now, others when their calls end. It
// may be called again.
func (p *Policy) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	idle := p.free
	p.free = nil
	p.total -= len(idle)
	last := p.total == 0
	p.mu.Unlock()
	for _, in := range idle {
		in.close()
	}
	if last {
		p.end()
	}
}

var errClosed = errors.New("policy is closed")

// acquire takes an idle instance, makes one, or waits for one.
func (p *Policy) acquire(ctx context.Context) (*instance, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		in := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return in, nil
	}
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	if p.total < p.most {
		p.total++
		p.mu.Unlock()
		return p.start(ctx)
	}
	if len(p.waiters) >= 16*p.most {
		p.mu.Unlock()
		return nil, fmt.Errorf("%d calls wait for one of %d instances", 16*p.most, p.most)
	}
	wait := make(chan *instance, 1)
	p.waiters = append(p.waiters, wait)
	p.mu.Unlock()
	select {
	case in := <-wait:
		return p.handed(ctx, in)
	case <-ctx.Done():
	}
	if !p.forget(wait) { // it was served meanwhile
		p.giveBack(<-wait)
	}
	return nil, fmt.Errorf("wait for one of %d instances: %w", p.most, ctx.Err())
}

// handed is what a waiter makes of what it got.
func (p *Policy) handed(ctx context.Context, in *instance) (*instance, error) {
	if in == nil {
		return p.start(ctx)
	}
	return in, nil
}

// forget takes a waiter out of the queue; false says that it was served.
func (p *Policy) forget(wait chan *instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.waiters {
		if w == wait {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// release gives an instance back after a call, which leaves nothing behind in one that is
// fresh; one that cannot be used again is closed.
func (p *Policy) release(in *instance) {
	in.powers = &p.host.powers
	if !in.renew() {
		in.close()
		in = nil
	}
	p.giveBack(in)
}

// giveBack gives an instance, or the right to make one, to who waits longest, or back.
func (p *Policy) giveBack(in *instance) {
	p.mu.Lock()
	if len(p.waiters) > 0 {
		wait := p.waiters[0]
		p.waiters = p.waiters[1:]
		wait <- in // it has room for one
		p.mu.Unlock()
		return
	}
	if in != nil && !p.closed {
		p.free = append(p.free, in)
		p.mu.Unlock()
		return
	}
	p.total--
	last := p.closed && p.total == 0
	p.mu.Unlock()
	if in != nil {
		in.close()
	}
	if last {
		p.end()
	}
}

// start makes an instance, for which the caller has counted one in total. What fails gives
// that back.
func (p *Policy) start(ctx context.Context) (*instance, error) {
	in, err := p.create(ctx)
	if err != nil {
		p.giveBack(nil)
		return nil, err
	}
	return in, nil
}

// end gives back what instances are made of, when there are none and will be none.
func (p *Policy) end() {
	if p.image != nil {
		p.image.pages.close()
	}
	p.module.release()
}
