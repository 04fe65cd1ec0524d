package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
)

// Module is a compiled plugin. It is safe for concurrent use. [Module.Release] gives it
// back; policies bound before keep what they need.
type Module struct {
	*compiled
	id string
}

// compiled is what all Modules of one digest share.
type compiled struct {
	engine   *Engine
	digest   [32]byte
	manifest *abi.Manifest // nil when the module has none
	schema   *jsonschema.Schema
	hooks    map[abi.Hook]abi.Mask
	imports  []string             // "module name" of each capability
	abi      *ABI                 // of another project; nil is our own
	exports  map[string]Signature // of a module of another ABI
	wanted   []abi.Capability
	shims    map[string]bool // WASI functions that it imports
	minimum  uint64          // bytes of memory that it begins with
	code     wazero.CompiledModule

	refs  int           // guarded by Engine.mu
	ready chan struct{} // closed when code or err is there
	err   error
}

// Compile checks, rewrites and compiles a module; the id is for errors, and the plugin's
// when it has no manifest. A module of the same bytes is compiled once, whoever asks, as
// long as one of its users has not released it. ctx bounds the wait, not the compilation.
func (e *Engine) Compile(ctx context.Context, id string, wasm []byte) (*Module, error) {
	if n := int64(len(wasm)); n > e.options.MaxModuleBytes {
		return nil, &Error{Plugin: id, Kind: KindModule, Err: fmt.Errorf("module is %d bytes, want at most %d", n, e.options.MaxModuleBytes)}
	}
	digest := sha256.Sum256(wasm)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, &Error{Plugin: id, Kind: KindModule, Err: errors.New("engine is closed")}
	}
	c := e.modules[digest]
	first := c == nil
	if first {
		c = &compiled{engine: e, digest: digest, ready: make(chan struct{})}
		e.modules[digest] = c
	}
	c.refs++
	e.mu.Unlock()
	if first {
		c.err = c.load(context.WithoutCancel(ctx), wasm)
		close(c.ready)
	}
	select {
	case <-c.ready:
	case <-ctx.Done():
		c.release()
		return nil, &Error{Plugin: id, Kind: KindModule, Err: fmt.Errorf("wait for compilation: %w", ctx.Err())}
	}
	if c.err != nil {
		c.release()
		kind := KindModule
		if errors.Is(c.err, errImport) {
			kind = KindImport
		}
		return nil, &Error{Plugin: id, Kind: kind, Err: c.err}
	}
	return &Module{c, id}, nil
}

// release ends one use; the last one frees the code.
func (c *compiled) release() {
	e := c.engine
	e.mu.Lock()
	c.refs--
	last := c.refs == 0
	if last && e.modules[c.digest] == c {
		delete(e.modules, c.digest)
	}
	e.mu.Unlock()
	if !last {
		return
	}
	if c.code != nil {
		_ = c.code.Close(context.Background()) // it has no error to give
	}
}

func (c *compiled) retain() {
	c.engine.mu.Lock()
	c.refs++
	c.engine.mu.Unlock()
}

func (c *compiled) load(ctx context.Context, wasm []byte) error {
	shape, err := abi.Inspect(wasm)
	if err != nil {
		return err
	}
	if c.abi = c.engine.matchABI(shape); c.abi != nil {
		return c.build(ctx, wasm)
	}
	if c.manifest, _, err = abi.ReadManifest(wasm); err != nil {
		return err
	}
	if err := shape.Check(c.manifest); err != nil {
		return err
	}
	if c.manifest != nil && c.manifest.ConfigSchema != nil {
		if c.schema, err = compileSchema(c.manifest.ConfigSchema); err != nil {
			return err
		}
	}
	return c.build(ctx, wasm)
}

// build rewrites and compiles the module, and checks its imports and exports.
func (c *compiled) build(ctx context.Context, wasm []byte) error {
	rewritten, err := fuel.Rewrite(wasm, fuel.Options{})
	if err != nil {
		return err
	}
	if c.code, err = c.engine.compile(ctx, rewritten); err != nil {
		return fmt.Errorf("compile module: %w", err)
	}
	if d := c.engine.disk; d != nil {
		if err := d.seal(); err != nil {
			c.engine.log.Warn("compiled module is not kept", "error", err)
		}
	}
	if c.abi != nil {
		return c.checkForeign()
	}
	if err := c.checkImports(); err != nil {
		return err
	}
	return c.checkExports()
}

// errImport marks errors about imports.
var errImport = errors.New("import refused")

// checkImports takes each import for a capability or a shim of exactly its type.
func (c *compiled) checkImports() error {
	c.shims = map[string]bool{}
	var faults []error
	for _, def := range c.code.ImportedFunctions() {
		module, name, _ := def.Import()
		got := signature(def.ParamTypes(), def.ResultTypes())
		var want string
		if module == wasiModule {
			shim, ok := c.engine.shims[name]
			if !ok {
				faults = append(faults, fmt.Errorf("%w: %q %q is unknown", errImport, module, name))
				continue
			}
			want = shim.signature()
			c.shims[name] = true
		} else {
			p, ok := abi.CapabilityOf(module, name)
			if !ok {
				faults = append(faults, fmt.Errorf("%w: %q %q is unknown", errImport, module, name))
				continue
			}
			want = "(" + strings.Join(p.Params(), " ") + ") -> (" + strings.Join(p.Results(), " ") + ")"
			c.imports = append(c.imports, module+" "+name)
			c.wanted = append(c.wanted, p)
		}
		if got != want {
			faults = append(faults, fmt.Errorf("%w: %q %q is %s, want %s", errImport, module, name, got, want))
		}
	}
	return errors.Join(faults...)
}

func signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		out := make([]string, len(types))
		for i, t := range types {
			out[i] = api.ValueTypeName(t)
		}
		return "(" + strings.Join(out, " ") + ")"
	}
	return names(params) + " -> " + names(results)
}

// checkExports finds the hooks and the exports that the host calls, of exactly their types.
func (c *compiled) checkExports() error {
	c.hooks = map[abi.Hook]abi.Mask{}
	exports := c.code.ExportedFunctions()
	want := map[string]string{
		abi.Marker: "() -> ()", abi.Scratch: "() -> (i64)", fuel.Start: "() -> ()", initialize: "() -> ()",
	}
	for h := range abi.Hooks() {
		want[h.Export()] = "(i32) -> (i64)"
		if exports[h.Export()] == nil {
			continue
		}
		if c.hooks[h] = abi.DefaultMask(h); c.manifest != nil && h != abi.HookConfigure {
			c.hooks[h] = c.manifest.Hooks[h]
		}
	}
	var faults []error
	for name, def := range exports {
		got := signature(def.ParamTypes(), def.ResultTypes())
		if w, ok := want[name]; ok && got != w {
			faults = append(faults, fmt.Errorf("export %q is %s, want %s", name, got, w))
		}
	}
	if m := c.code.ExportedMemories()[abi.Memory]; m != nil {
		c.minimum = uint64(m.Min()) << 16
	}
	return errors.Join(faults...)
}

// initialize is what a WASI reactor exports to be called once before all else.
const initialize = "_initialize"

// compileSchema reads a config schema of JSON Schema 2020-12 that refers to nothing outside.
func compileSchema(text []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read config schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // no file, no network
	const name = "wasmgate:config_schema"
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("read config schema: %w", err)
	}
	s, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("read config schema: %w", err)
	}
	return s, nil
}

// ID is the plugin's id as given to [Engine.Compile].
func (m *Module) ID() string { return m.id }

// Digest is the SHA-256 of the module as it was given.
func (m *Module) Digest() [32]byte { return m.digest }

// Manifest is the module's manifest; nil when it has none.
func (m *Module) Manifest() *abi.Manifest { return m.manifest }

// Has tells whether the module exports a hook.
func (m *Module) Has(h abi.Hook) bool {
	_, ok := m.hooks[h]
	return ok
}

// Hooks are the hooks that the module exports besides configure, in order.
func (m *Module) Hooks() []abi.Hook {
	var out []abi.Hook
	for h := range abi.Hooks() {
		if h != abi.HookConfigure && m.Has(h) {
			out = append(out, h)
		}
	}
	return out
}

// Imports are the capabilities that the module imports, each as import module and name.
func (m *Module) Imports() []string { return m.imports }

// Share is the module for one more owner, who releases it too.
func (m *Module) Share() *Module {
	m.retain()
	return &Module{m.compiled, m.id}
}

// Release gives the module back; it must be called once.
func (m *Module) Release() { m.compiled.release() }
