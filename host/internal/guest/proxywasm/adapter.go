package proxywasm

import (
	"context"
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
	// HTTP makes its calls; nil makes none.
	HTTP guest.HTTP
	// Metrics keeps its metrics; nil takes none.
	Metrics Metrics
	// Logger gets its lines.
	Logger *slog.Logger
	// Called is told of each callback; nil tells nobody.
	Called func(export string, took time.Duration, err error)
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

// bind starts a plugin; start makes the sandbox of each VM.
func (a *Adapter) bind(ctx context.Context, m *module, b Binding, start func(context.Context, *vm) (sandbox, error)) (*Plugin, error) {
	p := &Plugin{Binding: b, module: m, shared: a.shared, start: start, done: a.running.Done}
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

func (p *Plugin) counted(export string, took time.Duration, err error) {
	if p.Called != nil {
		p.Called(export, took, err)
	}
}

// upstream is the URL behind a name that the guest calls.
func (p *Plugin) upstream(name string) (string, bool) {
	u, ok := p.Upstreams[name]
	return u, ok
}

// log writes a line of the guest's.
func (p *Plugin) log(level uint32, line []byte) {
	p.Logger.Log(context.Background(), levels[level], string(line))
}
