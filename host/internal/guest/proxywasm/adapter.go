package proxywasm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Binding is what a plugin is bound with.
type Binding struct {
	// Name is the plugin's id, which is its VM id too: plugins find each other's data and
	// queues by it.
	Name string
	// Config is what on_configure gets, byte for byte.
	Config []byte
	// Upstreams are the upstreams that it may call: names and http:// or https:// URLs
	// without a path.
	Upstreams map[string]string
	// Fuel is the budget of one callback, and of each step of the start when that is more
	// than StartFuel.
	Fuel, StartFuel uint64
	// Skip says that requests go on without the plugin when it fails.
	Skip bool
	// VMs is how many instances serve its requests.
	VMs int
	// Gateway says that it is bound to the whole gateway: a plugin that takes no requests
	// then runs beside them, in one instance.
	Gateway bool
	// Memory is the cap of one instance, in bytes; 0 is the engine's.
	Memory uint64
	// HTTP makes its calls; nil makes none.
	HTTP guest.HTTP
	// Metrics keeps its metrics; nil takes none.
	Metrics Metrics
	// Logger gets its lines.
	Logger *slog.Logger
	// Called is told of each callback; nil tells nobody.
	Called func(export string, took time.Duration, fuel uint64, failed guest.Kind)

	sandboxes *guest.Sandboxes // nil in tests of the host's side alone
}

// Adapter is what all proxy-wasm plugins of an engine have in common: shared data and
// queues. It is safe for concurrent use.
type Adapter struct {
	shared  *shared
	running sync.WaitGroup // plugins that are not at their end
}

// NewAdapter makes an adapter without plugins.
func NewAdapter() *Adapter { return &Adapter{shared: newShared()} }

// Close waits until all plugins, which were closed before, have come to their end.
func (a *Adapter) Close() { a.running.Wait() }

// Bind starts a plugin: a plugin that is returned has taken its config in each of its
// instances. The error is a [*guest.Error]. HTTP, Logger and StartFuel are the engine's. The
// caller closes the plugin; the module may be released before.
func (a *Adapter) Bind(ctx context.Context, e *guest.Engine, m *guest.Module, b Binding) (*Plugin, error) {
	sandboxes, err := e.Sandboxes(m, guest.Sandboxing{Name: b.Name, Memory: b.Memory, Fuel: b.Fuel})
	if err != nil {
		return nil, err
	}
	code, err := inspect(m.Exports())
	if err == nil {
		b.Fuel, b.StartFuel, b.HTTP, b.Logger = sandboxes.Fuel(), sandboxes.StartFuel(), sandboxes.HTTP(), sandboxes.Logger()
		b.sandboxes = sandboxes
		var p *Plugin
		if p, err = a.bind(ctx, code, b, func(ctx context.Context, v *vm) (sandbox, error) {
			box, err := sandboxes.New(ctx, v)
			if err != nil {
				return nil, err
			}
			return box, nil
		}); err == nil {
			return p, nil
		}
	}
	sandboxes.Close()
	if _, ok := errors.AsType[*guest.Error](err); !ok {
		err = &guest.Error{Plugin: b.Name, Kind: guest.KindConfig, Err: err}
	}
	return nil, err
}

// bind starts a plugin; start makes the sandbox of each VM.
func (a *Adapter) bind(ctx context.Context, m *module, b Binding, start func(context.Context, *vm) (sandbox, error)) (*Plugin, error) {
	p := &Plugin{Binding: b, module: m, shared: a.shared, start: start, done: func() {
		if b.sandboxes != nil {
			b.sandboxes.Close()
		}
		a.running.Done()
	}}
	p.startFuel = max(b.Fuel, b.StartFuel)
	a.running.Add(1)
	p.space = a.shared.join(b.Name)
	if err := p.open(ctx, max(b.VMs, 1)); err != nil {
		a.shared.leave(b.Name)
		a.running.Done()
		return nil, err
	}
	p.serve()
	return p, nil
}

func (p *Plugin) counted(export string, took time.Duration, fuel uint64, err error) {
	if p.Called == nil {
		return
	}
	var kind guest.Kind
	if err != nil {
		kind = guest.KindTrap
		if e, ok := errors.AsType[*guest.Error](err); ok {
			kind = e.Kind
		}
	}
	p.Called(export, took, fuel, kind)
}

// upstream is the URL behind a name that the guest calls.
func (p *Plugin) upstream(name string) (string, bool) {
	u, ok := p.Upstreams[name]
	return u, ok
}

// log writes a line of the guest's.
func (p *Plugin) log(level uint32, line []byte) {
	if p.sandboxes != nil {
		p.sandboxes.Log(levels[level], line)
		return
	}
	p.Logger.Log(context.Background(), levels[level], string(line))
}
