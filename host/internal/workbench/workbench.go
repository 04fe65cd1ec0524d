package workbench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Options are for [New]. The zero value has the gateway's limits and no cache on disk.
type Options struct {
	// CacheDir keeps compiled modules, as in [guest.Options].
	CacheDir string
	// Fuel is the budget of one call; 0 is the gateway's default.
	Fuel uint64
	// Memory is the cap of one instance's memory in bytes; 0 is the gateway's default.
	Memory uint64
}

// Bench is an engine whose powers are those of the case that runs. Not safe for concurrent
// use.
type Bench struct {
	engine *guest.Engine
	powers *powers
}

// New makes an engine. The caller closes it.
func New(ctx context.Context, o Options) (*Bench, error) {
	b := &Bench{powers: &powers{}}
	var err error
	b.engine, err = guest.New(ctx, guest.Options{CacheDir: o.CacheDir, Fuel: o.Fuel, Memory: o.Memory,
		Powers: b.powers.guest(), Logger: b.powers.logger(), Now: func() time.Time { return time.Time{} }})
	return b, err
}

// On puts a module of an engine that somebody else has on a bench: its policies are bound
// beside those that serve. Neither is closed through the bench.
func On(engine *guest.Engine, module *guest.Module, id string) *Plugin {
	return &Plugin{Bench: &Bench{engine: engine, powers: &powers{}}, module: module, id: id}
}

// Close ends the engine, when all plugins were closed.
func (b *Bench) Close(ctx context.Context) error { return b.engine.Close(ctx) }

// Plugin is a compiled plugin on its bench.
type Plugin struct {
	*Bench
	module *guest.Module
	id     string
}

// Open checks and compiles a module, as the gateway does at load; id is what the plugin is
// called when it has no manifest. The error is a [*guest.Error]. The caller closes the plugin.
func (b *Bench) Open(ctx context.Context, id string, wasm []byte) (*Plugin, error) {
	module, err := b.engine.Compile(ctx, id, wasm)
	if err != nil {
		return nil, err
	}
	if m := module.Manifest(); m != nil {
		id = m.ID
	}
	return &Plugin{Bench: b, module: module, id: id}, nil
}

// ID is the manifest's id, or what the plugin was opened as.
func (p *Plugin) ID() string { return p.id }

// SHA256 is the module's digest, in hexadecimal digits.
func (p *Plugin) SHA256() string {
	digest := p.module.Digest()
	return hex.EncodeToString(digest[:])
}

// Hooks are the hooks that the plugin exports besides configure, in order.
func (p *Plugin) Hooks() []abi.Hook { return p.module.Hooks() }

// Close gives the plugin back. It must be called once.
func (p *Plugin) Close() { p.module.Release() }

// Outcome is what came of a case.
type Outcome struct {
	// Result is the result record of the case's hook; empty when it said nothing or was not
	// reached.
	Result []byte
	// Fuel is what the hook took, also when it trapped; 0 when it was not reached.
	Fuel uint64
	// Refused is why the config was refused, by the manifest's schema or by the plugin
	// itself; else nil.
	Refused *guest.Error
	// Err is what went wrong in the guest, mostly a [*guest.Error]; else nil.
	Err error
	// Lines are what the plugin logged, each with its level.
	Lines []string
	// Logged is what the hook logged, as case files have it.
	Logged []string
	// SHA256 is the module that ran.
	SHA256 string
	// Unseen are the fields that the hook asks for, every request has, and the case has not.
	Unseen []string
	// Calls says how the hook's host calls differ from those of a case that has them in order.
	Calls error
}

// Run runs one case. Whether it came out as wanted is for [Outcome.Check] to say.
func (p *Plugin) Run(ctx context.Context, c *casefile.Case) (o Outcome) {
	o.SHA256 = p.SHA256()
	defer func() {
		o.Logged, o.Calls = p.powers.result()
		o.Lines = p.powers.take()
	}()
	policy, err := p.bind(ctx, c, "")
	if refused, ok := errors.AsType[*guest.Error](err); ok && refused.Kind == guest.KindConfig {
		o.Refused = refused
		return o
	}
	if err != nil {
		o.Err = err
		return o
	}
	defer policy.Close()
	if c.Hook == abi.HookConfigure {
		o.Result, o.Fuel = policy.Configured()
		return o
	}
	mask := policy.Mask(c.Hook)
	record, err := c.Record(&mask)
	if err != nil {
		o.Err = err
		return o
	}
	for f := range mask.Fields.All() {
		if _, there := c.Request()[f.String()]; !there && f.In(c.Hook) && always>>f&1 != 0 {
			o.Unseen = append(o.Unseen, f.String())
		}
	}
	call := call{hook: c.Hook, record: record}
	p.powers.begin()
	o.Fuel, o.Err = policy.Call(ctx, c.Hook, &call)
	o.Result = call.result
	return o
}

// always are the fields that a gateway writes for every request, when the hook asks for them.
const always abi.FieldSet = 1<<abi.FieldAPIID | 1<<abi.FieldStage | 1<<abi.FieldRoute | 1<<abi.FieldResourcePath | 1<<abi.FieldMethod |
	1<<abi.FieldAuthority | 1<<abi.FieldPath | 1<<abi.FieldRequestPath | 1<<abi.FieldHeaders | 1<<abi.FieldQueryParams | 1<<abi.FieldPathParams |
	1<<abi.FieldStageVariables | 1<<abi.FieldSourceIP | 1<<abi.FieldContext | 1<<abi.FieldBody | 1<<abi.FieldStatus |
	1<<abi.FieldResponseHeaders | 1<<abi.FieldResponseBody

// bind makes a policy of the plugin as the case has it.
func (p *Plugin) bind(ctx context.Context, c *casefile.Case, isolation string) (*guest.Policy, error) {
	p.powers.use(c.Host)
	powers, name := p.powers.guest(), p.id
	if c.Module != nil {
		name = c.Module.ID
	}
	return p.engine.Bind(ctx, p.module, guest.Binding{Name: name, Config: c.Config, Grants: grants(c.Host), Isolation: isolation,
		Powers: &powers, Fuel: c.Limits.Fuel, Memory: c.Limits.Memory})
}

// Check says how the outcome differs from what the case wants; nil when it does not. A
// config that must be refused may be refused by the schema, in words of its own: the text
// of the case is looked for in what the plugin itself says.
func (o Outcome) Check(c *casefile.Case) error {
	switch {
	case o.Err != nil && c.Trap != nil:
		return errors.Join(c.Trap.Check(o.Err), o.CheckFuel(c), o.Calls)
	case o.Err != nil:
		return o.Err
	case o.Refused != nil && c.Error == "":
		return fmt.Errorf("config: got refused: %w, want accepted", o.Refused)
	case o.Refused != nil:
		if text := o.Refused.Err.Error(); o.Refused.Hook == abi.HookConfigure && !strings.Contains(text, c.Error) {
			return fmt.Errorf("config: got refused with %q, want with %q", text, c.Error)
		}
		return nil
	case c.Error != "":
		return fmt.Errorf("config: got accepted, want refused with %q", c.Error)
	}
	if c.Trap != nil {
		return c.Trap.Check(nil)
	}
	return errors.Join(c.Compare(o.Result), o.CheckFuel(c), c.CheckLog(o.Logged), o.Calls)
}

// CheckFuel says how the fuel differs from what the case wants. What a recording says of its
// module's fuel says nothing of another's.
func (o Outcome) CheckFuel(c *casefile.Case) error {
	if c.Exact && c.Module != nil && c.Module.SHA256 != o.SHA256 {
		return nil
	}
	return c.CheckFuel(o.Fuel)
}

// call is a request record that was made before, and what the guest answers to it: its room
// is used again.
type call struct {
	hook   abi.Hook
	record []byte
	result []byte
}

// Encode copies the record; what does not fit is the length's to tell.
func (c *call) Encode(scratch []byte) (int, error) {
	copy(scratch, c.record)
	return len(c.record), nil
}

// Decode keeps a well-formed result.
func (c *call) Decode(result []byte) error {
	if _, err := abi.ParseResult(result, c.hook); err != nil {
		return err
	}
	c.result = append(c.result[:0], result...)
	return nil
}
