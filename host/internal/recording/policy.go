package recording

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// Policy records the calls of one policy. It is safe for concurrent use.
type Policy struct {
	recorder  *Recorder
	id        string
	module    *guest.Module
	binding   guest.Binding
	record    model.Record
	configure []casefile.HostCall // what configuring was answered
	refs      atomic.Int64        // calls that wait, and 1 until it is closed
	closed    atomic.Bool

	mu     sync.Mutex
	minute int64
	taken  int // in it
}

// Policy records calls of a policy that is bound as b says. It configures one instance, to
// learn what capabilities answer to that. The caller closes it, and gives the module back
// whenever it likes.
func (r *Recorder) Policy(ctx context.Context, module *guest.Module, b guest.Binding, record model.Record) (*Policy, error) {
	p := &Policy{recorder: r, id: b.Name, binding: b, record: record}
	if module.Has(abi.HookConfigure) && len(module.Imports()) > 0 {
		t := &tape{powers: r.options.Engine.Powers()}
		b.Powers = t.guest()
		bound, err := r.options.Engine.Bind(ctx, module, b)
		if err != nil {
			return nil, err
		}
		bound.Close()
		p.configure = t.answers
	}
	p.module = module.Share()
	p.refs.Store(1)
	return p, nil
}

// Close ends recording: calls that wait are given up. It must be called once.
func (p *Policy) Close() {
	p.closed.Store(true)
	p.release()
}

func (p *Policy) retain() { p.refs.Add(1) }

func (p *Policy) release() {
	if p.refs.Add(-1) == 0 {
		p.module.Release()
	}
}

// Take begins the recording of a call; nil when this one is not recorded.
func (p *Policy) Take(now time.Time) *Call {
	if p.record.Sample < 1 && p.recorder.options.Random() >= p.record.Sample {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := now.Unix() / 60; m != p.minute {
		p.minute, p.taken = m, 0
	}
	if p.taken >= p.record.Max {
		return nil
	}
	p.taken++
	return &Call{policy: p, time: now, tape: tape{powers: p.recorder.options.Engine.Powers()}}
}

// Origin is the request as it came in, before any policy changed it.
type Origin interface {
	// Origin gives the request's id, its raw query, and each member of header and path_param.
	Origin(field func(of string, name, value []byte)) (id, query string)
}

type originField struct {
	of, name string
	value    []byte
}

// Call is one call that is recorded.
type Call struct {
	policy *Policy
	time   time.Time
	hook   abi.Hook
	inner  guest.Call
	tape   tape

	request, result []byte
	encoded         bool // the request reached the guest
	id, query       string
	fields          []originField
	fuel            uint64
	err             error
}

// Run calls the hook as [guest.Policy.Call] does.
func (c *Call) Run(ctx context.Context, p *guest.Policy, hook abi.Hook, inner guest.Call) (fuel uint64, err error) {
	c.hook, c.inner = hook, inner
	fuel, err = p.CallWith(ctx, hook, c, c.tape.guest())
	c.inner, c.fuel, c.err = nil, fuel, err
	failure, failed := errors.AsType[*guest.Error](err)
	if !c.encoded || failed && failure.Kind == guest.KindBusy {
		return fuel, err // no guest decided
	}
	if o, ok := inner.(Origin); ok {
		c.id, c.query = o.Origin(func(of string, name, value []byte) {
			c.fields = append(c.fields, originField{of, string(name), bytes.Clone(value)})
		})
	}
	c.policy.recorder.enqueue(c)
	return fuel, err
}

// Encode writes the request and copies it.
func (c *Call) Encode(scratch []byte) (int, error) {
	n, err := c.inner.Encode(scratch)
	if err == nil && n <= len(scratch) {
		c.encoded = true
		if n <= maxItem {
			c.request = bytes.Clone(scratch[:n])
		}
	}
	return n, err
}

// Decode reads the result and copies it.
func (c *Call) Decode(result []byte) error {
	c.result = bytes.Clone(result)
	return c.inner.Decode(result)
}

// size is about the bytes that it holds; beyond maxItem for a request that was not copied.
func (c *Call) size() int {
	n := len(c.request) + len(c.result) + min(c.tape.bytes, maxItem) + len(c.query)
	for _, f := range c.fields {
		n += len(f.name) + len(f.value)
	}
	if c.request == nil {
		n += maxItem + 1
	}
	return n
}
