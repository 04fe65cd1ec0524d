package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// rootID is the root context of every VM; streams come after it.
const rootID = 1

// sandbox is the guest behind a VM. It belongs to who holds the VM's turn.
type sandbox interface {
	// Has tells whether the guest exports a function.
	Has(export string) bool
	// Call runs an export with a budget of fuel, or inside a host function with what the
	// running call has left. An error is a trap: the guest may not be called again.
	Call(ctx context.Context, export string, budget uint64, args ...uint64) (uint64, error)
	// Nested is Call from inside a host function.
	Nested(export string, args ...uint64) (uint64, error)
	// Bytes are length bytes of the guest's memory; false when they are not all inside. They
	// are the guest's, and stale once it has run again.
	Bytes(at, length uint32) ([]byte, bool)
	// Charge takes fuel for work of the host; the guest traps when none is left.
	Charge(units int64)
	// Used is the fuel that the last Call took.
	Used() uint64
	// Close gives the guest back.
	Close()
}

// vm is one instance of a plugin with its contexts. A guest runs one call at a time and all
// its streams share its memory: who wants to call it or to look at its contexts takes the
// turn first. Nobody waits for anything else while it has the turn, so a stream that pauses
// keeps nobody from anything.
type vm struct {
	p    *Plugin
	box  sandbox
	turn chan struct{} // has room for one: who put something in has the turn

	// Guarded by the turn.
	broken     error // why it may not be called any more
	streams    map[uint32]*Stream
	rested     func() // set while the root context is not done: proxy_done calls it
	nextStream uint32
	effective  uint32 // context that host functions work on
	inside     int    // host functions that wait for the guest's allocator
	stage      stage
	calls      map[uint32]context.CancelFunc
	nextCall   uint32
	answer     *callAnswer // while on_http_call_response runs
	lastStatus callStatus
	properties properties
	period     time.Duration // of ticks; 0 is none

	load   atomic.Int64  // streams that it has
	signal chan struct{} // has room for one: something is in the inbox or the period changed

	mu    sync.Mutex // guards what follows; held for moments, also without the turn
	inbox []func(context.Context)
	ready map[uint32]int // on_queue_ready that are due
	gone  bool
}

// stage is how far a VM has come.
type stage int

const (
	stageBoot  stage = iota // start functions: nothing but the log, clocks and randomness
	stageStart              // on_vm_start
	stageConfigure
	stageServe
)

var errStopped = errors.New("the plugin was replaced")

func newVM(p *Plugin) *vm {
	return &vm{p: p, turn: make(chan struct{}, 1), signal: make(chan struct{}, 1), streams: map[uint32]*Stream{},
		nextStream: rootID + 1, effective: rootID, calls: map[uint32]context.CancelFunc{}}
}

// enter takes the turn, unless ctx ends before.
func (v *vm) enter(ctx context.Context) error {
	select {
	case v.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case v.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the plugin's turn: %w", ctx.Err())
	}
}

func (v *vm) leave() { <-v.turn }

// start boots and configures the guest, as a VM does once.
func (v *vm) start(ctx context.Context) error {
	p, budget := v.p, v.p.startFuel
	initialize, main := "_initialize", ""
	if !v.box.Has(initialize) {
		initialize = "_start"
	} else if v.box.Has("main") {
		main = "main"
	}
	for _, f := range []string{initialize} {
		if v.box.Has(f) {
			if _, err := v.call(ctx, rootID, f, budget); err != nil {
				return err
			}
		}
	}
	if main != "" {
		if _, err := v.call(ctx, rootID, main, budget, p.module.mainArgs...); err != nil {
			return err
		}
	}
	v.stage = stageStart
	if _, err := v.callback(ctx, rootID, "proxy_on_context_create", budget, rootID, 0); err != nil {
		return err
	}
	if ok, err := v.callback(ctx, rootID, "proxy_on_vm_start", budget, rootID, 0); err != nil {
		return err
	} else if v.box.Has("proxy_on_vm_start") && ok == 0 {
		return errors.New("the plugin refuses to start: proxy_on_vm_start returned false")
	}
	v.stage = stageConfigure
	if ok, err := v.callback(ctx, rootID, "proxy_on_configure", budget, rootID, uint64(len(p.Config))); err != nil {
		return err
	} else if v.box.Has("proxy_on_configure") && ok == 0 {
		return errors.New("the plugin refuses its config: proxy_on_configure returned false")
	}
	v.stage = stageServe
	return nil
}

// callback is call of an export that need not be there: nothing is the answer then.
func (v *vm) callback(ctx context.Context, effective uint32, export string, budget uint64, args ...uint64) (uint64, error) {
	if v.broken != nil {
		return 0, v.broken
	}
	if !v.box.Has(export) {
		return 0, nil
	}
	return v.call(ctx, effective, export, budget, args...)
}

// call runs an export for a context. After an error the VM is broken.
func (v *vm) call(ctx context.Context, effective uint32, export string, budget uint64, args ...uint64) (uint64, error) {
	if v.broken != nil {
		return 0, v.broken
	}
	v.effective = effective
	from := time.Now()
	result, err := v.box.Call(ctx, export, budget, args...)
	v.effective = rootID
	v.p.counted(export, time.Since(from), v.box.Used(), err)
	if err != nil {
		v.fail(err)
		return 0, err
	}
	return result & 0xffffffff, nil
}

// fail makes the VM broken: its memory is in an unknown state. All its streams fail, as
// they have part of that state.
func (v *vm) fail(err error) {
	if v.broken != nil {
		return
	}
	v.broken = err
	for _, s := range v.streams {
		s.fail(err)
	}
	for _, cancel := range v.calls {
		cancel()
	}
	v.wake()
}

// wake makes run look at what there is to do.
func (v *vm) wake() {
	select {
	case v.signal <- struct{}{}:
	default:
	}
}

// post leaves an event for the VM. It never waits; a VM that is gone drops it.
func (v *vm) post(event func(context.Context)) {
	v.mu.Lock()
	if !v.gone {
		v.inbox = append(v.inbox, event)
	}
	v.mu.Unlock()
	v.wake()
}

// queueReady leaves word of items in a queue.
func (v *vm) queueReady(id uint32, items int) {
	if items == 0 {
		return
	}
	v.mu.Lock()
	if v.ready == nil {
		v.ready = map[uint32]int{}
	}
	v.ready[id] += items
	v.mu.Unlock()
	v.wake()
}

// run delivers events, queues and ticks on the root context until the VM is broken or ctx
// ends. No turn is held between two of them, so that streams come in between.
func (v *vm) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due time.Time // of the next tick
	var period time.Duration
	for {
		if err := v.enter(ctx); err != nil {
			return
		}
		broken, current := v.broken, v.period
		v.leave()
		if broken != nil {
			return
		}
		if current != period {
			period, due = current, time.Now().Add(current)
		}
		wait := time.Hour
		if period > 0 {
			wait = max(0, time.Until(due))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-v.signal:
			v.deliver(ctx)
		case <-timer.C:
			if period > 0 {
				from := time.Now()
				v.tick(ctx)
				// A tick that takes longer than its period must not take all of the time.
				took := time.Since(from)
				due = from.Add(max(period, 2*took))
			}
		}
	}
}

func (v *vm) tick(ctx context.Context) {
	v.event(ctx, func(ctx context.Context) {
		_, _ = v.callback(ctx, rootID, "proxy_on_tick", v.p.Fuel, rootID) // the VM is broken then
	})
}

// event runs f with the turn.
func (v *vm) event(ctx context.Context, f func(context.Context)) {
	if v.enter(ctx) != nil {
		return
	}
	defer v.leave()
	if v.broken == nil {
		f(ctx)
	}
}

// deliver runs what the inbox and the queues have at the moment.
func (v *vm) deliver(ctx context.Context) {
	v.mu.Lock()
	inbox := v.inbox
	v.inbox = nil
	v.mu.Unlock()
	for _, event := range inbox {
		v.event(ctx, event)
	}
	for {
		v.mu.Lock()
		id, found := uint32(0), false
		for q := range v.ready {
			id, found = q, true
			break
		}
		if found {
			if v.ready[id]--; v.ready[id] == 0 {
				delete(v.ready, id)
			}
		}
		v.mu.Unlock()
		if !found || ctx.Err() != nil {
			return
		}
		v.event(ctx, func(ctx context.Context) {
			_, _ = v.callback(ctx, rootID, "proxy_on_queue_ready", v.p.Fuel, rootID, uint64(id)) // the VM is broken then
		})
		if v.isBroken(ctx) {
			return
		}
	}
}

func (v *vm) isBroken(ctx context.Context) bool {
	if v.enter(ctx) != nil {
		return true
	}
	defer v.leave()
	return v.broken != nil
}

// rest is how long a VM that is given up may take to say that it is done.
const rest = 5 * time.Second

// finish ends the root context of a VM that works, and waits a bounded time for a guest
// that says that it is not done yet.
func (v *vm) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), rest)
	defer cancel()
	resting, stop := context.WithCancel(ctx)
	defer stop()
	v.event(ctx, func(ctx context.Context) {
		done, err := v.callback(ctx, rootID, "proxy_on_done", v.p.Fuel, rootID)
		if err == nil && v.box.Has("proxy_on_done") && done == 0 {
			v.rested = stop
			return
		}
		stop()
	})
	if resting.Err() == nil {
		v.run(resting)
	}
	v.event(ctx, func(ctx context.Context) {
		_, _ = v.callback(ctx, rootID, "proxy_on_delete", v.p.Fuel, rootID) // the VM is given up anyway
	})
}

// close gives the guest back. Nobody may have the turn or come for it afterwards.
func (v *vm) close() {
	v.mu.Lock()
	v.gone = true
	untold := v.ready
	v.inbox, v.ready = nil, nil
	v.mu.Unlock()
	v.p.shared.orphan(v, untold)
	v.turn <- struct{}{} // a stream may be looking at it
	defer v.leave()
	v.fail(errStopped)
	if v.box != nil {
		v.box.Close()
	}
}
