package workbench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// Figures are what one case costs.
type Figures struct {
	// Fuel is what the hook takes in a new instance: the same at each run, on each machine.
	Fuel uint64
	// Pooled and Fresh are the costs with each isolation.
	Pooled, Fresh Cost
}

// Cost is what a case costs with one isolation, on this machine.
type Cost struct {
	// Call is the time of one call with its record, and with fresh of making the instance
	// new again: the median of many rounds.
	Call time.Duration
	// Bind is the time from a compiled module to a policy with one configured instance.
	Bind time.Duration
	// Memory is the linear memory of one instance after the calls, in bytes.
	Memory uint64
	// Callers called at once, and Instances is how many instances that took.
	Callers, Instances int
}

const (
	minRounds = 5
	roundTime = time.Millisecond
	maxCalls  = 1 << 16 // in a round
)

// Measure runs a case that comes out as wanted over and over, for about that long. A case
// that tests a config is refused, since what configuring costs is in Bind, and one that must
// trap. The host calls of a recorded case have an order, so that it has one caller.
func (p *Plugin) Measure(ctx context.Context, c *casefile.Case, most time.Duration) (f Figures, err error) {
	if c.Hook == abi.HookConfigure || c.Error != "" {
		return f, fmt.Errorf("measure case %q: it calls no hook but configure", c.Name)
	}
	if c.Trap != nil {
		return f, fmt.Errorf("measure case %q: it must trap", c.Name)
	}
	o := p.Run(ctx, c)
	if err := o.Check(c); err != nil {
		return f, err
	}
	f.Fuel = o.Fuel
	if f.Pooled, err = p.cost(ctx, c, model.IsolationPooled, most/2); err == nil {
		f.Fresh, err = p.cost(ctx, c, model.IsolationFresh, most/2)
	}
	p.powers.take()
	return f, err
}

func (p *Plugin) cost(ctx context.Context, c *casefile.Case, isolation string, most time.Duration) (cost Cost, err error) {
	start := time.Now()
	policy, err := p.bind(ctx, c, isolation)
	if err != nil {
		return cost, err
	}
	cost.Bind = time.Since(start)
	defer policy.Close()
	mask := policy.Mask(c.Hook)
	record, err := c.Record(&mask)
	if err != nil {
		return cost, err
	}
	m := measured{policy: policy, call: call{hook: c.Hook, record: record}, rewind: func() {}}
	cost.Callers = runtime.GOMAXPROCS(0)
	if c.Host.Calls != nil {
		m.rewind, cost.Callers = p.powers.rewind, 1
	}
	if cost.Call, err = m.median(ctx, start.Add(most)); err != nil {
		return cost, err
	}
	if err := m.together(ctx, cost.Callers); err != nil {
		return cost, err
	}
	if cost.Instances, _ = policy.Stats(); cost.Instances > 0 {
		cost.Memory = policy.Memory() / uint64(cost.Instances)
	}
	return cost, nil
}

// measured is a call that is made over and over; rewind comes before each.
type measured struct {
	policy *guest.Policy
	call   call
	rewind func()
}

func (m measured) times(ctx context.Context, n int) error {
	for range n {
		m.rewind()
		if _, err := m.policy.Call(ctx, m.call.hook, &m.call); err != nil {
			return err
		}
	}
	return nil
}

// median is the time of a call: of rounds of so many calls that the clock's grain does not
// show, until end, but of a few in any case.
func (m measured) median(ctx context.Context, end time.Time) (time.Duration, error) {
	var rounds []time.Duration
	calls := 1
	for len(rounds) < minRounds || time.Now().Before(end) {
		start := time.Now()
		if err := m.times(ctx, calls); err != nil {
			return 0, err
		}
		took := time.Since(start)
		if took < roundTime && calls < maxCalls {
			calls *= 2
			continue
		}
		rounds = append(rounds, took/time.Duration(calls))
	}
	slices.Sort(rounds)
	return rounds[len(rounds)/2], nil
}

// together calls from several goroutines at once, as a gateway does.
func (m measured) together(ctx context.Context, callers int) error {
	const calls = 100
	errs := make([]error, callers)
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() { errs[i] = m.times(ctx, calls) }) // waited for below
	}
	running.Wait()
	return errors.Join(errs...)
}
