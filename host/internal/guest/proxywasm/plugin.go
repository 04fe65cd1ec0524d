package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Plugin is a module bound with a config: its VMs, and what they share. It is safe for
// concurrent use.
type Plugin struct {
	Binding
	module    *module
	shared    *shared
	space     *space
	start     func(ctx context.Context, v *vm) (sandbox, error)
	startFuel uint64

	ctx     context.Context // ends when the plugin is closed
	stop    context.CancelFunc
	closing sync.Once
	group   sync.WaitGroup // everything that runs for it
	done    func()         // called when all of that has ended

	mu      sync.Mutex
	vms     []*vm           // nil where one is being started
	changed chan struct{}   // closed when vms changes
	dead    error           // why the last start failed, while there is no VM
	known   map[uint32]bool // queues that it registered or resolved
	metrics []defined

	background bool // it takes no requests; set before it serves
}

// restarts bound how often a VM that breaks is started anew: a request that breaks it must
// not cost a start each.
type restarts struct {
	left int
	at   time.Time
}

const (
	restartBurst = 10
	restartPause = time.Second
)

// take is how long the next start has to wait.
func (r *restarts) take(now time.Time) time.Duration {
	if r.at.IsZero() {
		r.left, r.at = restartBurst, now
	}
	earned := int(now.Sub(r.at) / restartPause)
	r.left = min(restartBurst, r.left+earned)
	r.at = r.at.Add(time.Duration(earned) * restartPause)
	if r.left > 0 {
		r.left--
		return 0
	}
	return r.at.Add(restartPause).Sub(now)
}

// open starts n VMs, all before any serves: a plugin initialises in each of them what they
// share.
func (p *Plugin) open(ctx context.Context, n int) error {
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.changed, p.known = make(chan struct{}), map[uint32]bool{}
	err := p.recognize(ctx)
	if p.background {
		n = 1
	}
	for err == nil && len(p.vms) < n {
		var v *vm
		if v, err = p.startVM(ctx); err == nil {
			p.vms = append(p.vms, v)
		}
	}
	if err != nil {
		for _, v := range p.vms {
			v.close()
		}
		p.stop()
	}
	return err
}

// recognize finds out whether the plugin takes requests. Exports do not tell: Go and Rust
// modules have them all. One that is bound to the whole gateway is asked for the context
// of a request, and traps at once when it has only a root context (a timer, the receiver
// of a queue).
func (p *Plugin) recognize(ctx context.Context) error {
	if p.background = !p.module.filters; p.background || !p.Gateway {
		if p.background && !p.Gateway {
			return errors.New("the plugin has no HTTP callback: it can only be bound to the whole gateway, where it runs beside all requests")
		}
		return nil
	}
	v, err := p.startVM(ctx)
	if err != nil {
		return err
	}
	v.turn <- struct{}{}
	const id = rootID + 1
	v.nextStream = id + 1
	_, err = v.callback(ctx, id, "proxy_on_context_create", p.Fuel, id, rootID)
	for _, export := range []string{"proxy_on_done", "proxy_on_delete"} {
		if err == nil {
			_, err = v.callback(ctx, id, export, p.Fuel, id)
		}
	}
	v.leave()
	if err == nil {
		p.vms = append(p.vms, v)
		return nil
	}
	p.background = true
	p.Logger.Info("plugin takes no requests: it runs beside them")
	v.close()
	return nil
}

// Background tells whether the plugin takes no requests.
func (p *Plugin) Background() bool { return p.background }

// serve begins to deliver events and ticks.
func (p *Plugin) serve() {
	p.shared.serves(p.space)
	for i, v := range p.vms {
		p.group.Go(func() { p.keep(i, v) }) // end waits for it
	}
}

// startVM is a VM that has booted and taken its config.
func (p *Plugin) startVM(ctx context.Context) (*vm, error) {
	v := newVM(p)
	v.turn <- struct{}{}
	box, err := p.start(ctx, v)
	if err == nil {
		v.box = box
		err = v.start(ctx)
	}
	v.leave()
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// keep runs the VM in one place, and starts another when it breaks.
func (p *Plugin) keep(i int, v *vm) {
	var budget restarts
	for {
		v.run(p.ctx)
		if p.ctx.Err() != nil {
			v.finish()
			v.close()
			return
		}
		p.put(i, nil, nil)
		v.close()
		for v = nil; v == nil; {
			if wait := budget.take(time.Now()); wait > 0 && !pause(p.ctx, wait) {
				return
			}
			var err error
			if v, err = p.startVM(p.ctx); err != nil {
				if p.ctx.Err() != nil {
					return
				}
				p.Logger.Warn("plugin cannot be started again", "error", err)
			}
			p.put(i, v, err)
		}
		p.Logger.Warn("plugin was started again after it broke")
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// put makes v the VM of a place, or says why there is none.
func (p *Plugin) put(i int, v *vm, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vms[i], p.dead = v, err
	close(p.changed)
	p.changed = make(chan struct{})
}

// pick is the VM with the fewest streams, counted for one more; one that is being started
// is waited for when there is no other.
func (p *Plugin) pick(ctx context.Context) (*vm, error) {
	for {
		p.mu.Lock()
		var best *vm
		for _, v := range p.vms {
			if v != nil && (best == nil || v.load.Load() < best.load.Load()) {
				best = v
			}
		}
		changed, dead := p.changed, p.dead
		p.mu.Unlock()
		switch {
		case best != nil:
			best.load.Add(1)
			return best, nil
		case dead != nil:
			return nil, fmt.Errorf("the plugin cannot be started again: %w", dead)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the plugin's start: %w", ctx.Err())
		case <-p.ctx.Done():
			return nil, errStopped
		}
	}
}

// Open makes a context for an exchange. [Stream.Close] must follow.
func (p *Plugin) Open(ctx context.Context, f Facts) (*Stream, error) {
	for {
		v, err := p.pick(ctx)
		if err != nil {
			return nil, err
		}
		s, err := v.open(ctx, f)
		if err == nil {
			return s, nil
		}
		v.load.Add(-1)
		if !errors.Is(err, errBroken) {
			return nil, err
		}
		// It broke for another stream, before this one began: nothing is lost by another VM.
		if err := p.await(ctx, v); err != nil {
			return nil, err
		}
	}
}

// Logs tells whether the plugin wants to see the end of exchanges.
func (p *Plugin) Logs() bool { return p.module.callbacks["proxy_on_log"] }

// Log shows the plugin the end of an exchange that it has not seen, in a context of its own. A
// plugin that is being started again misses it: there is nobody to wait for that.
func (p *Plugin) Log(f Facts, r *Request, resp *exchange.Response) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v, err := p.pick(ctx)
	if err != nil {
		return
	}
	s, err := v.open(context.Background(), f) // its turn comes: each callback has an end
	if err != nil {
		v.load.Add(-1)
		return
	}
	s.Close(r, resp)
}

var errBroken = errors.New("the plugin broke before")

// await waits until v, which is broken, was taken out of its place.
func (p *Plugin) await(ctx context.Context, v *vm) error {
	for {
		p.mu.Lock()
		found, changed := false, p.changed
		for _, other := range p.vms {
			found = found || other == v
		}
		p.mu.Unlock()
		if !found {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return errStopped
		}
	}
}

// Close ends the plugin: its contexts are told, and what runs for it is broken off. It does
// not wait; the adapter's Close does. It may be called again.
func (p *Plugin) Close() {
	p.closing.Do(func() {
		p.stop()
		go func() { // the adapter waits for it, by done
			p.group.Wait()
			p.shared.leave(p.Name)
			p.done()
		}()
	})
}

// know makes a queue one that the plugin may use.
func (p *Plugin) know(id uint32) {
	p.mu.Lock()
	p.known[id] = true
	p.mu.Unlock()
}

func (p *Plugin) knows(id uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

// defineMetric is the number of a metric; numbers begin at 1.
func (p *Plugin) defineMetric(kind MetricKind, name string) (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.metrics {
		if m.kind == kind && m.name == name {
			return uint32(i + 1), true
		}
	}
	if p.Metrics == nil {
		return 0, false
	}
	m := p.Metrics.Metric(kind, name)
	if m == nil {
		return 0, false
	}
	p.metrics = append(p.metrics, defined{kind, name, m})
	return uint32(len(p.metrics)), true
}

func (p *Plugin) metric(id uint32) (defined, status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == 0 || int(id) > len(p.metrics) {
		return defined{}, statusNotFound
	}
	return p.metrics[id-1], statusOK
}

// levels are proxy-wasm's, of which the last is worse than any of ours.
var levels = [...]slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError}

// logLevel is the least level that reaches the log.
func (p *Plugin) logLevel() uint32 {
	for i, level := range levels {
		if p.Logger.Enabled(context.Background(), level) {
			return uint32(i)
		}
	}
	return uint32(len(levels) - 1)
}
