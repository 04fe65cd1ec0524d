package httpwasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Binding is what a plugin is bound with.
type Binding struct {
	// Name is the plugin's id, for logs and errors.
	Name string
	// Config is what get_config gives, byte for byte.
	Config []byte
	// Fuel is the budget of each of the two calls; 0 is the engine's. The start function has
	// at least what starting a language's runtime takes.
	Fuel uint64
	// Memory is the cap of one instance, in bytes; 0 is the engine's.
	Memory uint64
	// Fresh begins each exchange with an instance as it was after its start.
	Fresh bool
	// Called is told of each call; kind is empty when nothing went wrong. nil tells nobody.
	Called func(export string, took time.Duration, fuel uint64, kind guest.Kind)
}

// Plugin is a module bound with a config. It is safe for concurrent use.
type Plugin struct {
	Binding
	pool      *guest.Pool
	startFuel uint64
	logger    *slog.Logger
	line      func(level slog.Level, line []byte)
	reads     atomic.Bool // it has read a request's body
}

// Bind starts a plugin: one that is returned has an instance whose start function has
// returned. The error is a [*guest.Error]. The caller closes the plugin; the module may be
// released before.
func Bind(ctx context.Context, e *guest.Engine, m *guest.Module, b Binding) (*Plugin, error) {
	sandboxes, err := e.Sandboxes(m, guest.Sandboxing{Name: b.Name, Memory: b.Memory, Fuel: b.Fuel, Fresh: b.Fresh})
	if err != nil {
		return nil, err
	}
	b.Fuel = sandboxes.Fuel()
	p := &Plugin{Binding: b, startFuel: sandboxes.StartFuel(), logger: sandboxes.Logger(), line: sandboxes.Log}
	p.pool, err = sandboxes.Pool(ctx, func() any { return &vm{p: p} }, p.boot)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// boot runs what a guest runs once.
func (p *Plugin) boot(ctx context.Context, box *guest.Sandbox) error {
	start := initialize
	if !box.Has(start) {
		start = run
	}
	if !box.Has(start) {
		return nil
	}
	_, err := p.call(ctx, box, start, p.startFuel)
	return err
}

// call runs an export and tells of it.
func (p *Plugin) call(ctx context.Context, box sandbox, export string, budget uint64, args ...uint64) (uint64, error) {
	from := time.Now()
	result, err := box.Call(ctx, export, budget, args...)
	if p.Called != nil {
		kind := guest.Kind("")
		if e, ok := errors.AsType[*guest.Error](err); ok {
			kind = e.Kind
		}
		p.Called(export, time.Since(from), box.Used(), kind)
	}
	return result, err
}

// Close ends the plugin: instances that serve an exchange are closed when that has ended. It
// may be called again.
func (p *Plugin) Close() { p.pool.Close() }

// maxWait is how long an exchange waits for an instance: each holds one for as long as its
// upstream takes.
const maxWait = 10 * time.Second

// acquire takes an instance for one exchange.
func (p *Plugin) acquire(ctx context.Context) (*guest.Sandbox, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	return p.pool.Acquire(ctx)
}

// sandbox is the guest behind a vm; [guest.Sandbox] is one.
type sandbox interface {
	memory
	// Call runs an export with a budget of fuel. An error is a trap.
	Call(ctx context.Context, export string, budget uint64, args ...uint64) (uint64, error)
	// Used is the fuel that the last call took.
	Used() uint64
}

// memory is what host functions need of a guest.
type memory interface {
	// Bytes are length bytes of the guest's memory; false when they are not all inside.
	Bytes(at, length uint32) ([]byte, bool)
	// Charge takes fuel for work of the host; the guest traps when none is left.
	Charge(units int64)
}

// vm is one instance.
type vm struct {
	p        *Plugin
	box      sandbox
	features features // that its start function asked for
	stream   *Stream  // the exchange that it serves; nil is none
}

// exchange is the stream that the guest serves. A function that needs one traps without.
func (v *vm) exchange(function string) *Stream {
	if v.stream == nil {
		panic(fmt.Errorf("%s: there is no request yet", function))
	}
	return v.stream
}
