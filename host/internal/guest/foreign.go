package guest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
	"github.com/wasmgate/wasmgate/host/model"
)

// ABI is another project's way of writing plugins, which an adapter serves. Its modules run
// under the same fuel, stack and memory limits as ours, with the same shims for language
// runtimes, but with the real clock and real randomness.
type ABI struct {
	// Name is for people, such as "proxy-wasm".
	Name string
	// Match tells whether a module is for this ABI.
	Match func(m *abi.Module) bool
	// Check refuses a module by the types of the functions that it exports.
	Check func(exports map[string]Signature) error
	// Module is the import module of Functions, which has every function that there is.
	Module    string
	Functions map[string]HostFunction
}

// Signature is the type of a function: i is i32, I i64, f f32, F f64 and - anything else.
type Signature struct{ Params, Results string }

// String is the type as Wasm tools write it.
func (s Signature) String() string {
	list := func(types string) string {
		out := make([]string, len(types))
		for i := range types {
			out[i] = typeNames[types[i]]
		}
		return "(" + strings.Join(out, " ") + ")"
	}
	return list(s.Params) + " -> " + list(s.Results)
}

var typeNames = map[byte]string{'i': "i32", 'I': "i64", 'f': "f32", 'F': "f64", '-': "?"}

func letters(types []api.ValueType) string {
	out := make([]byte, len(types))
	for i, t := range types {
		switch t {
		case api.ValueTypeI32:
			out[i] = 'i'
		case api.ValueTypeI64:
			out[i] = 'I'
		case api.ValueTypeF32:
			out[i] = 'f'
		case api.ValueTypeF64:
			out[i] = 'F'
		default:
			out[i] = '-'
		}
	}
	return string(out)
}

// HostFunction is one function that a module of an ABI may import.
type HostFunction struct {
	Signature
	// Power is what it lets a plugin do, as a verb phrase.
	Power string
	// Call runs it: words hold the parameters, and the result in place 0. A panic is a trap.
	Call func(s *Sandbox, words []uint64)
}

func (s Signature) params() []api.ValueType  { return valueTypesOf(s.Params) }
func (s Signature) results() []api.ValueType { return valueTypesOf(s.Results) }

func valueTypesOf(letters string) []api.ValueType {
	types := map[rune]api.ValueType{'i': api.ValueTypeI32, 'I': api.ValueTypeI64, 'f': api.ValueTypeF32, 'F': api.ValueTypeF64}
	out := make([]api.ValueType, 0, len(letters))
	for _, c := range letters {
		out = append(out, types[c])
	}
	return out
}

// wasiModules are the names under which modules import WASI preview 1: C++ and
// AssemblyScript guests still know its first one.
var wasiModules = [...]string{wasiModule, "wasi_unstable"}

// IsShim tells whether imports of a module are WASI's, which are served inert.
func IsShim(module string) bool { return slices.Contains(wasiModules[:], module) }

// WASIPower is what a function of WASI lets a plugin of another project do, as a verb phrase;
// empty is nothing. Ours get time and randomness of the request's record.
func WASIPower(module, name string) string {
	if !IsShim(module) {
		return ""
	}
	switch name {
	case "clock_time_get", "poll_oneoff":
		return "reads the clock"
	case "random_get":
		return "draws random numbers"
	case "fd_write":
		return "writes lines to the log"
	}
	return ""
}

// matchABI finds the adapter of a module; nil when it is for our own ABI.
func (e *Engine) matchABI(shape *abi.Module) *ABI {
	for _, a := range e.options.ABIs {
		if a.Match(shape) {
			return a
		}
	}
	return nil
}

// checkForeign is checkImports and checkExports for a module of another ABI.
func (c *compiled) checkForeign() error {
	var faults []error
	seen := map[string]bool{}
	for _, def := range c.code.ImportedFunctions() {
		module, name, _ := def.Import()
		want, ok := c.foreignImport(module, name)
		got := Signature{letters(def.ParamTypes()), letters(def.ResultTypes())}
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%w: %q %q is unknown", errImport, module, name))
		case got != want:
			faults = append(faults, fmt.Errorf("%w: %q %q is %s, want %s", errImport, module, name, got, want))
		case module == c.abi.Module && !seen[name]:
			c.imports = append(c.imports, module+" "+name)
		}
		seen[name] = true
	}
	exports := map[string]Signature{}
	for name, def := range c.code.ExportedFunctions() {
		exports[name] = Signature{letters(def.ParamTypes()), letters(def.ResultTypes())}
	}
	if m := c.code.ExportedMemories()[abi.Memory]; m != nil {
		c.minimum = uint64(m.Min()) << 16
	} else {
		faults = append(faults, fmt.Errorf("no export %q of a memory", abi.Memory))
	}
	c.exports = exports
	return errors.Join(append(faults, c.abi.Check(exports))...)
}

func (c *compiled) foreignImport(module, name string) (Signature, bool) {
	if module == c.abi.Module {
		f, ok := c.abi.Functions[name]
		return f.Signature, ok
	}
	for _, w := range wasiModules {
		if s, ok := c.engine.shims[name]; ok && module == w {
			return Signature{s.types, letters(s.results())}, true
		}
	}
	return Signature{}, false
}

// foreignFunction makes what wazero calls of a host function.
func foreignFunction(f HostFunction) api.GoFunc {
	return func(ctx context.Context, words []uint64) { f.Call(ctx.(*hostContext).in.sandbox, words) }
}

// ABI is the name of the ABI that an adapter serves; empty is our own.
func (m *Module) ABI() string {
	if m.abi == nil {
		return ""
	}
	return m.abi.Name
}

// Exports are the functions that a module of another ABI exports.
func (m *Module) Exports() map[string]Signature { return m.exports }

// Sandboxing is what instances of a module of another ABI have in common.
type Sandboxing struct {
	// Name is the plugin, for logs and errors.
	Name string
	// Memory is the cap of one instance, in bytes; 0 is the engine's.
	Memory uint64
	// Fuel is the policy's budget of one call; 0 is the engine's.
	Fuel uint64
	// Fresh makes an instance of a [Pool] as it was after its start, for each exchange.
	Fresh bool
}

// Sandboxes makes instances of one plugin. It is safe for concurrent use. [Sandboxes.Close]
// gives the module back when all instances are closed.
type Sandboxes struct{ p *Policy }

// Sandboxes checks what needs no instance. The error is an [*Error].
func (e *Engine) Sandboxes(m *Module, s Sandboxing) (*Sandboxes, error) {
	if m.abi == nil {
		return nil, &Error{Plugin: s.Name, Kind: KindModule, Err: errors.New("the module is for no other ABI")}
	}
	p := &Policy{name: s.Name, module: m.compiled, memory: s.Memory, fuel: s.Fuel, fresh: s.Fresh,
		host: hostState{powers: e.options.Powers, grants: newGrants(model.Grants{}), plugin: s.Name,
			log: e.log.With("plugin", s.Name), now: e.options.Now}}
	if p.memory == 0 {
		p.memory = e.options.Memory
	}
	if p.fuel == 0 {
		p.fuel = e.options.Fuel
	}
	p.memory = min(p.memory, maxMemory) &^ (pageBytes - 1)
	switch {
	case int64(p.fuel) < 0:
		return nil, &Error{Plugin: s.Name, Kind: KindConfig, Err: fmt.Errorf("fuel %d, want less than 2^63", p.fuel)}
	case p.module.minimum > p.memory:
		return nil, &Error{Plugin: s.Name, Kind: KindMemory,
			Err: fmt.Errorf("module begins with %d bytes of memory, want at most %d", p.module.minimum, p.memory)}
	}
	p.module.retain()
	return &Sandboxes{p}, nil
}

// Fuel is the budget of one call.
func (s *Sandboxes) Fuel() uint64 { return s.p.fuel }

// StartFuel is the budget of one step of making an instance: what a language runtime takes,
// or the policy's budget when that is more.
func (s *Sandboxes) StartFuel() uint64 { return max(s.p.fuel, loadFuel) }

// HTTP makes outbound calls; nil makes none.
func (s *Sandboxes) HTTP() HTTP { return s.p.host.powers.HTTP }

// Logger is the operator's log with the plugin's name.
func (s *Sandboxes) Logger() *slog.Logger { return s.p.host.log }

// Log writes a line of the plugin's, as many a second as any plugin may.
func (s *Sandboxes) Log(level slog.Level, line []byte) { s.p.host.line(level, line) }

// Close gives the module back.
func (s *Sandboxes) Close() { s.p.module.release() }

// Sandbox is one instance of a module of another ABI. It belongs to one goroutine at a time.
type Sandbox struct {
	// Data is the adapter's.
	Data any

	in        *instance
	functions map[string]api.Function
	words     [16]uint64
	used      uint64
}

// New makes an instance and runs its start function. The error is an [*Error].
func (s *Sandboxes) New(ctx context.Context, data any) (*Sandbox, error) {
	in := &instance{p: s.p, powers: &s.p.host.powers, linear: &linear{limit: s.p.memory}}
	in.ctx.in = in
	in.sandbox = &Sandbox{Data: data, in: in, functions: map[string]api.Function{}}
	if err := in.instantiate(ctx); err != nil {
		in.close()
		return nil, in.fault(0, KindModule, err)
	}
	if in.mod.ExportedFunction(fuel.Start) != nil {
		if _, err := in.sandbox.Call(ctx, fuel.Start, s.StartFuel()); err != nil {
			in.close()
			return nil, err
		}
	}
	return in.sandbox, nil
}

// Has tells whether the guest exports a function.
func (s *Sandbox) Has(export string) bool { return s.function(export) != nil }

func (s *Sandbox) function(export string) api.Function {
	f, known := s.functions[export]
	if !known {
		f = s.in.mod.ExportedFunction(export)
		s.functions[export] = f
	}
	return f
}

// Call runs an export, which must be there, with a budget of fuel, and gives its result, 0
// when it has none. The error is an [*Error]: the guest's state is unknown then, and it
// must be closed. A guest that ended itself with code 0 has not failed.
func (s *Sandbox) Call(ctx context.Context, export string, budget uint64, args ...uint64) (uint64, error) {
	clear(s.words[:])
	copy(s.words[:], args)
	var err error
	s.used, err = s.in.invoke(ctx, 0, s.function(export), budget, s.words[:])
	if err == nil {
		return s.words[0], nil
	}
	if exit, ok := errors.AsType[exitError](err); ok && exit == 0 {
		s.in.broken = false
		return 0, nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.Export = export
	}
	return 0, err
}

// Nested runs an export inside a host function, on the fuel that the running call has left.
// An error is a trap, which the host function passes on by a panic.
func (s *Sandbox) Nested(export string, args ...uint64) (uint64, error) {
	var words [4]uint64
	copy(words[:], args)
	err := s.function(export).CallWithStack(&s.in.ctx, words[:])
	return words[0], err
}

// Bytes are length bytes of the guest's memory at a place; false when they are not all
// inside. They are the guest's, and stale once it has run.
func (s *Sandbox) Bytes(at, length uint32) ([]byte, bool) { return s.in.mem.Read(at, length) }

// Charge takes fuel for what the host does; below zero the guest traps.
func (s *Sandbox) Charge(units int64) { s.in.charge(units) }

// Used is the fuel that the last Call took.
func (s *Sandbox) Used() uint64 { return s.used }

// Context is that of the running call.
func (s *Sandbox) Context() context.Context { return s.in.ctx.Context }

// Close gives the memory back.
func (s *Sandbox) Close() { s.in.close() }
