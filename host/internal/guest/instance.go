package guest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
)

// instance is one guest. It belongs to one goroutine at a time.
type instance struct {
	p      *Policy
	powers *Powers // what capabilities reach, never nil
	mod    api.Module
	mem    api.Memory
	linear *linear
	fuel   api.MutableGlobal
	stack  api.MutableGlobal
	hooks  [maxHooks]api.Function
	ctx    hostContext

	scratch     uint32 // where records are written
	scratchSize uint32
	words       [1]uint64 // parameter and result of a hook
	calls       uint64
	broken      bool // it trapped
	configured  configure
	sandbox     *Sandbox // of a module of another ABI
	state       state

	work // of the call that runs
}

// work is what host functions know of the call that runs.
type work struct {
	request []byte // the record, in the scratch area
	clock   clock
	random  random
	output  output
}

// hostContext is the context that wazero hands through to host functions: it finds the
// instance by a type assertion, where a value lookup would search and allocate. It holds
// the caller's context only while a call runs.
type hostContext struct {
	context.Context
	in *instance
}

// Value spares wazero's lookups of its own keys the way through the caller's context.
func (c *hostContext) Value(any) any { return nil }

// newInstance instantiates, starts and configures a guest.
func (p *Policy) newInstance(ctx context.Context) (in *instance, err error) {
	in = &instance{p: p, powers: &p.host.powers, linear: &linear{limit: p.memory}}
	in.ctx.in = in
	if err := in.instantiate(ctx); err != nil {
		in.close()
		return nil, in.fault(0, KindModule, err)
	}
	if err := in.ready(ctx); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// ready makes an instance that ran no code yet one that was configured.
func (in *instance) ready(ctx context.Context) error {
	if i := in.p.image; i != nil {
		if err := in.begin(i); err != nil {
			return in.fault(0, KindModule, err)
		}
		return nil
	}
	if err := in.boot(ctx); err != nil {
		return err
	}
	if in.p.fresh {
		if err := in.keep(); err != nil {
			return in.fault(0, KindModule, err)
		}
	}
	return nil
}

func (in *instance) instantiate(ctx context.Context) (err error) {
	c := in.p.module
	defer func() {
		if v := recover(); v != nil { // wazero panics when it gets no memory
			err = fmt.Errorf("instantiate: %v", v)
		}
	}()
	if err := in.linear.reserve(in.p.memory); err != nil {
		return fmt.Errorf("reserve %d bytes of memory: %w", in.p.memory, err)
	}
	// The start function was made an export: no code of the guest runs in here.
	ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
		func(_, _ uint64) experimental.LinearMemory { return in.linear }))
	in.mod, err = c.engine.runtime.InstantiateModule(ctx, c.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	in.mem = in.mod.ExportedMemory(abi.Memory)
	in.fuel = in.mod.ExportedGlobal(fuel.Global).(api.MutableGlobal)
	in.stack = in.mod.ExportedGlobal(fuel.StackGlobal).(api.MutableGlobal)
	return nil
}

// boot runs what a guest runs once: start function, _initialize, wg_scratch, wg_configure.
func (in *instance) boot(ctx context.Context) error {
	for _, name := range []string{fuel.Start, initialize} {
		if f := in.mod.ExportedFunction(name); f != nil {
			if _, err := in.run(ctx, 0, f, loadFuel); err != nil {
				return err
			}
		}
	}
	if _, err := in.run(ctx, 0, in.mod.ExportedFunction(abi.Scratch), loadFuel); err != nil {
		return err
	}
	in.scratch, in.scratchSize = uint32(in.words[0]>>32), uint32(in.words[0])
	if _, ok := in.mem.Read(in.scratch, in.scratchSize); !ok {
		return in.fault(0, KindScratch, fmt.Errorf("scratch area of %d bytes at %d is outside the memory of %d bytes",
			in.scratchSize, in.scratch, in.mem.Size()))
	}
	in.configured.p = in.p
	if _, ok := in.p.module.hooks[abi.HookConfigure]; !ok {
		return nil
	}
	used, err := in.call(ctx, abi.HookConfigure, &in.configured, loadFuel)
	if err != nil {
		return err
	}
	in.configured.fuel = used
	if r := in.configured.refused; r != "" {
		return in.fault(abi.HookConfigure, KindConfig, errors.New(r))
	}
	return nil
}

// call runs a hook with a budget.
func (in *instance) call(ctx context.Context, h abi.Hook, c Call, budget uint64) (uint64, error) {
	scratch, _ := in.mem.Read(in.scratch, in.scratchSize) // checked at boot; memory does not shrink
	n, err := c.Encode(scratch)
	if err != nil {
		return 0, in.fault(h, KindScratch, err)
	}
	if uint(n) > uint(len(scratch)) {
		return 0, in.fault(h, KindScratch, fmt.Errorf("record of %d bytes, want at most %d", n, len(scratch)))
	}
	in.request = scratch[:n]
	in.words[0] = uint64(n)
	f := in.hooks[h]
	if f == nil {
		f = in.mod.ExportedFunction(h.Export())
		in.hooks[h] = f
	}
	used, err := in.run(ctx, h, f, budget)
	if err != nil {
		return used, err
	}
	at, length := uint32(in.words[0]>>32), uint32(in.words[0])
	var result []byte
	if length > 0 {
		if length > abi.MaxResultBytes {
			return used, in.fault(h, KindResult, fmt.Errorf("result of %d bytes, want at most %d", length, abi.MaxResultBytes))
		}
		ok := false
		if result, ok = in.mem.Read(at, length); !ok {
			return used, in.fault(h, KindResult, fmt.Errorf("result of %d bytes at %d is outside the memory of %d bytes", length, at, in.mem.Size()))
		}
	}
	if err := c.Decode(result); err != nil {
		return used, in.fault(h, KindResult, err)
	}
	return used, nil
}

// run calls a function of the guest with what stands in words, and leaves its result there.
func (in *instance) run(ctx context.Context, h abi.Hook, f api.Function, budget uint64) (uint64, error) {
	return in.invoke(ctx, h, f, budget, in.words[:])
}

// invoke calls a function with what stands in words, and leaves its result there.
func (in *instance) invoke(ctx context.Context, h abi.Hook, f api.Function, budget uint64, words []uint64) (uint64, error) {
	in.calls++
	in.fuel.Set(budget)
	in.stack.Set(StackBytes)
	in.ctx.Context = ctx
	in.clock.known, in.random.known = false, false
	in.output.first = ""
	err := f.CallWithStack(&in.ctx, words)
	in.ctx.Context = nil
	in.request = nil
	if in.output.n > 0 {
		in.output.flush(in)
	}
	left := int64(in.fuel.Get())
	used := uint64(int64(budget) - max(left, 0)) // what was charged for and not run is not used
	if err == nil && left >= 0 {
		return used, nil
	}
	return used, in.trapped(h, err, left)
}

// trapped says why a call ended badly. The guest's state is unknown then.
func (in *instance) trapped(h abi.Hook, err error, left int64) error {
	in.broken = true
	switch {
	case left < 0:
		return in.fault(h, KindFuel, outOf("the call used up its fuel", err))
	case int32(in.stack.Get()) < 0 || strings.Contains(err.Error(), "stack overflow"):
		return in.fault(h, KindStack, outOf("the call recursed too deeply", err))
	case in.linear.refused:
		return in.fault(h, KindMemory, fmt.Errorf("memory cap of %d bytes: %w", in.linear.limit, in.said(traced("", err))))
	}
	return in.fault(h, KindTrap, in.said(traced("", err)))
}

// outOf is a limit that a call ran into, and where; without an error the host's work did.
func outOf(limit string, err error) error {
	if err == nil {
		return errors.New(limit)
	}
	return traced(limit, err)
}

// said adds the guest's last words, which runtimes write before they trap.
func (in *instance) said(err error) error {
	if in.output.first == "" {
		return err
	}
	return fmt.Errorf("%q: %w", in.output.first, err)
}

func (in *instance) fault(h abi.Hook, k Kind, err error) *Error {
	return &Error{Plugin: in.p.name, Hook: h, Kind: k, Err: err}
}

// renew readies the instance for its next call. False says that it may not be used again: it
// trapped, or it cannot be made fresh, or it was used a while and its memory, which never
// shrinks without that, is nearly all that it may have.
func (in *instance) renew() bool {
	switch {
	case in.broken:
		return false
	case in.state.image != nil:
		return in.restore() == nil
	}
	return in.calls <= recycleAfter || in.linear.size <= in.linear.limit/8*7
}

// recycleAfter is the least calls between two recyclings of an instance for its memory, so
// that a guest that always needs nearly its cap does not start anew for each call.
const recycleAfter = 1000

func (in *instance) close() {
	if in.mod != nil {
		_ = in.mod.Close(context.Background()) // gives the memory back; it has no error to give
		in.mod = nil
	}
	in.linear.Free()
	if i := in.state.image; i != nil && i != in.p.image {
		i.pages.close()
	}
}
