package guest

import (
	"context"
	"errors"
)

// Pool keeps instances of one plugin of another ABI, each of which serves one exchange at a
// time. It is safe for concurrent use.
type Pool struct {
	*Sandboxes
	data func() any
	boot func(context.Context, *Sandbox) error
}

// Pool starts one instance, so that a pool that is returned works, and makes others when
// they are asked for, as many as the engine allows a policy. data makes an instance's
// [Sandbox.Data], boot runs what the guest runs once. The error is an [*Error], and the
// sandboxes are closed then; else [Pool.Close] closes them.
func (s *Sandboxes) Pool(ctx context.Context, data func() any, boot func(context.Context, *Sandbox) error) (*Pool, error) {
	p := &Pool{Sandboxes: s, data: data, boot: boot}
	s.p.most = s.p.module.engine.options.Instances
	s.p.create = p.instance
	s.p.total = 1
	in, err := s.p.start(ctx)
	if err != nil {
		s.Close()
		return nil, err
	}
	s.p.free = append(s.p.free, in)
	return p, nil
}

// instance makes one more.
func (p *Pool) instance(ctx context.Context) (*instance, error) {
	box, err := p.New(ctx, p.data())
	if err != nil {
		return nil, err
	}
	if err := p.boot(ctx, box); err != nil {
		box.Close()
		return nil, err
	}
	if p.p.fresh {
		if err := box.in.keep(); err != nil {
			box.Close()
			return nil, box.in.fault(0, KindModule, err)
		}
	}
	return box.in, nil
}

// Acquire takes an instance that nobody else has until [Pool.Release]. When all are at work
// it waits for one until ctx ends. The error is an [*Error].
func (p *Pool) Acquire(ctx context.Context) (*Sandbox, error) {
	in, err := p.p.acquire(ctx)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		return nil, &Error{Plugin: p.p.name, Kind: KindBusy, Err: err}
	}
	return in.sandbox, nil
}

// Release gives an instance back. One that trapped is closed.
func (p *Pool) Release(s *Sandbox) { p.p.release(s.in) }

// Close ends the pool: idle instances are closed now, others when they are released. It may
// be called again.
func (p *Pool) Close() { p.p.Close() }

// Stats is how many instances there are, and how many of them are idle.
func (p *Pool) Stats() (instances, idle int) { return p.p.Stats() }
