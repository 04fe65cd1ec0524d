package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

// Workbench runs one plugin outside a gateway, on the engine and under the limits that a
// gateway has. Nothing that runs in it reaches network, files or clock. Not safe for
// concurrent use. Close ends it.
type Workbench struct {
	bench    *workbench.Bench
	plugin   *workbench.Plugin
	compiled time.Duration
}

// WorkbenchOptions are for [OpenWorkbench].
type WorkbenchOptions struct {
	// ID is what the plugin is called when it has no manifest.
	ID string
	// Wasm is the module.
	Wasm []byte
	// Fuel is the budget of one call; 0 is the gateway's default.
	Fuel uint64
	// Memory is the cap of one instance's memory in bytes; 0 is the gateway's default.
	Memory uint64
}

// CaseOutcome is what came of a case: its result record, fuel, and what went wrong. Its
// Check method compares it with what the case wants.
type CaseOutcome = workbench.Outcome

// OpenWorkbench loads a plugin as the gateway does. A module that the gateway refuses, and
// one of another project's ABI, for which there are no case files, is an error.
func OpenWorkbench(ctx context.Context, o WorkbenchOptions) (*Workbench, error) {
	shape, err := abi.Inspect(o.Wasm)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", o.ID, err)
	}
	if name, _, _, _ := Foreign(shape); name != "" {
		return nil, fmt.Errorf("plugin %q: it is for %s, whose plugins have no case files", o.ID, name)
	}
	bench, err := workbench.New(ctx, workbench.Options{Fuel: o.Fuel, Memory: o.Memory})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	plugin, err := bench.Open(ctx, o.ID, o.Wasm)
	compiled := time.Since(start)
	if err != nil {
		return nil, errors.Join(err, bench.Close(ctx))
	}
	return &Workbench{bench: bench, plugin: plugin, compiled: compiled}, nil
}

// ID is the plugin's id: the manifest's, or that of the options.
func (w *Workbench) ID() string { return w.plugin.ID() }

// Hooks are the hooks that the plugin exports besides configure, in order.
func (w *Workbench) Hooks() []abi.Hook { return w.plugin.Hooks() }

// Run runs a case in a new instance that is configured as the case says, with the answers
// and grants that the case has for capabilities.
func (w *Workbench) Run(ctx context.Context, c *casefile.Case) CaseOutcome {
	return w.plugin.Run(ctx, c)
}

// CaseFigures are what a case costs, [CaseCost] with one isolation.
type (
	CaseFigures = workbench.Figures
	CaseCost    = workbench.Cost
)

// Measure runs a case over and over, with each isolation, for about that long. A case that
// does not come out as wanted, or that only tests a config, is an error.
func (w *Workbench) Measure(ctx context.Context, c *casefile.Case, most time.Duration) (CaseFigures, error) {
	return w.plugin.Measure(ctx, c, most)
}

// CompileTime is how long it took to check, rewrite and compile the module.
func (w *Workbench) CompileTime() time.Duration { return w.compiled }

// Close ends the workbench. It must be called once.
func (w *Workbench) Close(ctx context.Context) error {
	w.plugin.Close()
	return w.bench.Close(ctx)
}
