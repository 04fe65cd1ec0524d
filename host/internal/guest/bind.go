package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/model"
)

// Binding makes a policy of a module.
type Binding struct {
	// Name is the policy's plugin, for logs and errors, and the owner of stored values.
	Name string
	// Config is what the guest gets: JSON, or the bytes of a string; nil is none.
	Config []byte
	// Grants bound the module's capabilities.
	Grants model.Grants
	// Fuel is the budget of one call; 0 is the engine's.
	Fuel uint64
	// Memory is the cap of one instance, in bytes; 0 is the engine's.
	Memory uint64
	// Powers are what the capabilities reach, instead of the engine's; nil is the engine's.
	Powers *Powers
	// Isolation is [model.IsolationPooled], [model.IsolationFresh], or empty for the first.
	Isolation string
}

// Bind checks config and grants and starts one instance, which gets the config: a policy
// that is returned works. The error is an [*Error] of kind import, config, module, or what
// went wrong in the guest. The caller closes the policy; the module may be released before.
func (e *Engine) Bind(ctx context.Context, m *Module, b Binding) (*Policy, error) {
	p := &Policy{
		name: b.Name, module: m.compiled, config: b.Config,
		fuel: b.Fuel, memory: b.Memory, most: e.options.Instances, fresh: b.Isolation == model.IsolationFresh,
		host: hostState{powers: e.options.Powers, grants: newGrants(b.Grants), plugin: b.Name,
			log: e.log.With("plugin", b.Name), now: e.options.Now},
	}
	if b.Powers != nil {
		p.host.powers = b.Powers.withKV(e.options.Now)
	}
	p.create = p.newInstance
	if p.fuel == 0 {
		p.fuel = e.options.Fuel
	}
	if p.memory == 0 {
		p.memory = e.options.Memory
	}
	p.memory = min(p.memory, maxMemory) &^ (pageBytes - 1)
	if err := p.check(b); err != nil {
		return nil, err
	}
	p.module.retain()
	p.total = 1
	in, err := p.start(ctx)
	if err != nil {
		p.module.release()
		return nil, err
	}
	if err := p.learn(in); err != nil {
		in.close()
		p.module.release()
		return nil, err
	}
	if i := in.state.image; i != nil && i.portable {
		p.image = i
	}
	p.free = append(p.free, in)
	return p, nil
}

const (
	pageBytes = 1 << 16
	maxMemory = 4 << 30
)

// check is what needs no instance.
func (p *Policy) check(b Binding) error {
	if a := p.module.abi; a != nil {
		return &Error{Plugin: p.name, Kind: KindModule, Err: fmt.Errorf("the module is for %s", a.Name)}
	}
	fault := func(k Kind, err error) error { return &Error{Plugin: p.name, Kind: k, Err: err} }
	if b.Isolation != "" && b.Isolation != model.IsolationPooled && b.Isolation != model.IsolationFresh {
		return fault(KindConfig, fmt.Errorf("isolation %q, want %q or %q", b.Isolation, model.IsolationPooled, model.IsolationFresh))
	}
	if int64(p.fuel) < 0 {
		return fault(KindConfig, fmt.Errorf("fuel %d, want less than 2^63", p.fuel))
	}
	if p.module.minimum > p.memory {
		return fault(KindMemory, fmt.Errorf("module begins with %d bytes of memory, want at most %d", p.module.minimum, p.memory))
	}
	var missing []error
	for _, c := range p.module.wanted {
		if !granted(c.Grant(), b.Grants) {
			missing = append(missing, fmt.Errorf("%w: %q %q needs the grant %q: the plugin %s",
				errImport, c.Module(), c.Name(), c.Grant(), c.Power()))
		}
	}
	if len(missing) > 0 {
		return fault(KindImport, errors.Join(missing...))
	}
	if err := p.module.checkConfig(b.Config); err != nil {
		return fault(KindConfig, err)
	}
	return nil
}

// CheckConfig checks a config by the schema of m's manifest, as [Engine.Bind] does before it
// starts the guest: for a policy that cannot be bound for another reason. The error is an
// [*Error] of kind config.
func (m *Module) CheckConfig(config []byte) error {
	if err := m.compiled.checkConfig(config); err != nil {
		return &Error{Plugin: m.id, Kind: KindConfig, Err: err}
	}
	return nil
}

func (c *compiled) checkConfig(config []byte) error {
	if c.schema == nil {
		return nil
	}
	return validate(c.schema, config)
}

// granted tells whether there is any grant of that name; an empty name needs none.
func granted(name string, g model.Grants) bool {
	switch name {
	case "":
		return true
	case "http":
		return len(g.HTTP) > 0
	case "kv":
		return len(g.KV) > 0
	case "secrets":
		return len(g.Secrets) > 0
	case "jwks":
		return len(g.JWKS) > 0
	}
	return false
}

// validate checks a config by the manifest's schema; every fault is in the error with its
// JSON pointer. No config is an empty object, and what is no JSON is a string.
func validate(s *jsonschema.Schema, config []byte) error {
	if config == nil {
		config = []byte("{}")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(config))
	if err != nil {
		v = string(config)
	}
	err = s.Validate(v)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var faults []error
	for _, u := range invalid.BasicOutput().Errors {
		if u.Error != nil {
			faults = append(faults, fmt.Errorf("config%s: %s", pointer(u.InstanceLocation), u.Error))
		}
	}
	if len(faults) == 0 {
		return invalid
	}
	return errors.Join(faults...)
}

func pointer(p string) string {
	if p == "" {
		return ""
	}
	return " " + p
}

// configure is the call of wg_configure.
type configure struct {
	p        *Policy
	identity []string
	bodiless []string
	refused  string
	answer   []byte // the whole result
	fuel     uint64 // that it took
}

// Encode writes the config.
func (c *configure) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, abi.HookConfigure, 2)
	if c.p.config != nil {
		w.Bytes(abi.FieldConfig, c.p.config)
	}
	w.String(abi.FieldPluginID, c.p.name)
	return w.Finish()
}

// Decode reads what the guest makes of it.
func (c *configure) Decode(result []byte) error {
	r, err := abi.ParseResult(result, abi.HookConfigure)
	if err != nil {
		return err
	}
	c.answer = bytes.Clone(result)
	if r.Has(abi.ResultError) {
		c.refused = string(r.Bytes(abi.ResultError))
		if c.refused == "" {
			c.refused = "the plugin refuses it"
		}
	}
	r.Names(abi.ResultIdentity).All(func(n []byte) bool { c.identity = append(c.identity, string(n)); return true })
	r.Names(abi.ResultWithoutBody).All(func(n []byte) bool { c.bodiless = append(c.bodiless, string(n)); return true })
	return nil
}

// learn keeps what the first instance answered to the config.
func (p *Policy) learn(in *instance) error {
	fault := func(format string, args ...any) error {
		return &Error{Plugin: p.name, Hook: abi.HookConfigure, Kind: KindResult, Err: fmt.Errorf(format, args...)}
	}
	p.identity, p.configured = in.configured.identity, in.configured
	for _, s := range p.identity {
		if _, _, err := abi.ParseSelector([]byte(s)); err != nil {
			return fault("identity: %w", err)
		}
	}
	for h, mask := range p.module.hooks {
		if slices.Contains(in.configured.bodiless, h.String()) {
			mask.Fields &^= 1<<abi.FieldBody | 1<<abi.FieldBodyTruncated | 1<<abi.FieldResponseBody | 1<<abi.FieldResponseBodyTruncated
			mask.Body, mask.ResponseBody = abi.BodyNeed{}, abi.BodyNeed{}
		}
		// Runtimes read clock and randomness when they please; both come from the record.
		if p.module.shims["clock_time_get"] && abi.FieldTimeMS.In(h) {
			mask.Fields |= 1 << abi.FieldTimeMS
		}
		if p.module.shims["random_get"] && abi.FieldSeed.In(h) {
			mask.Fields |= 1 << abi.FieldSeed
		}
		p.masks[h], p.has[h] = mask, true
	}
	for _, name := range in.configured.bodiless {
		if h, ok := abi.HookByName(name); !ok || !p.has[h] {
			return fault("without_body: got %q, want a hook of the plugin", name)
		}
	}
	return nil
}
