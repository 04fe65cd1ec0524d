package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/internal/recording"
	"github.com/wasmgate/wasmgate/host/model"
)

// policies keeps the bound policies of all snapshots by what they are made of, so that a
// policy that did not change keeps its instances. It is safe for concurrent use.
type policies struct {
	engine    *guest.Engine
	observer  *observe.Observer
	adapters  adapters
	recorder  *recording.Recorder
	instances int // that one policy may have

	mu    sync.Mutex
	bound map[[32]byte]*boundPolicy
}

// boundPolicy is a policy with its guest and the number of snapshots that use it.
type boundPolicy struct {
	*pipeline.Policy
	key          [32]byte // in policies
	close        func()
	background   bool // it runs beside requests, and none goes through it
	digest       [32]byte
	hooks        []string
	capabilities []string
	isolation    string
	terms        model.Policy // what it was bound with
	version      string       // of the plugin, as its manifest says
	abi          string       // of another project; empty is our own
	instances    int          // that it may have at once
	refs         int          // guarded by policies.mu
}

// policyID names a binding: two policies of one id decide alike.
func policyID(module [32]byte, p *model.Policy) [32]byte {
	h := sha256.New()
	field := func(b []byte) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	h.Write(module[:])
	field([]byte(p.Plugin))
	field(p.Config)
	for _, list := range [...][]string{p.Grants.HTTP, p.Grants.KV, p.Grants.Secrets, p.Grants.JWKS} {
		field([]byte{byte(len(list)), byte(len(list) >> 8)})
		for _, s := range list {
			field([]byte(s))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Grants.Upstreams)) {
		field([]byte(name))
		field([]byte(p.Grants.Upstreams[name]))
	}
	field([]byte(p.OnError))
	field([]byte(p.Isolation))
	field(binary.LittleEndian.AppendUint64(nil, p.Fuel))
	field(binary.LittleEndian.AppendUint64(nil, p.Memory))
	return [32]byte(h.Sum(nil))
}

// bind is p on module: the one there is, or a new one. release gives it back.
func (ps *policies) bind(ctx context.Context, module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	key := boundID(module, p)
	ps.mu.Lock()
	if b := ps.bound[key]; b != nil {
		b.refs++
		ps.mu.Unlock()
		return b, nil
	}
	ps.mu.Unlock() // only one snapshot is built at a time: nobody else binds meanwhile
	make := ps.bindHooks
	if module.ABI() != "" {
		make = ps.bindFilter
	}
	b, err := make(ctx, module, p)
	if err != nil {
		return nil, err
	}
	b.terms, b.abi, b.instances = *p, module.ABI(), ps.instances
	if m := module.Manifest(); m != nil {
		b.version = m.Version
	}
	b.key = key
	ps.mu.Lock()
	ps.bound[key] = b
	ps.mu.Unlock()
	return b, nil
}

// boundID is bindingID, and tells a policy that is recorded from one that is not: they decide
// alike, share verdicts and buckets, and have instances of their own.
func boundID(module *guest.Module, p *model.Policy) [32]byte {
	id := bindingID(module, p)
	if p.Record == nil {
		return id
	}
	how := fmt.Sprintf("%q %d %q %q", strconv.FormatFloat(p.Record.Sample, 'g', -1, 64), p.Record.Max, p.Record.Redact, p.Record.Reveal)
	return sha256.Sum256(append(id[:], how...))
}

// bindHooks binds a plugin of our own ABI.
func (ps *policies) bindHooks(ctx context.Context, module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	binding := guest.Binding{Name: p.Plugin, Config: configBytes(p.Config),
		Grants: p.Grants, Fuel: p.Fuel, Memory: p.Memory, Isolation: p.Isolation}
	g, err := ps.engine.Bind(ctx, module, binding)
	if err != nil {
		return nil, err
	}
	plugin := newPlugin(g, ps.observer, p.Plugin)
	if p.Record != nil {
		if plugin.recording, err = ps.recorder.Policy(ctx, module, binding, *p.Record); err != nil {
			g.Close()
			return nil, err
		}
	}
	policy, err := pipeline.NewPolicy(pipeline.Policy{Plugin: plugin, ID: bindingID(module, p), Name: p.Plugin,
		OnError: p.OnError, Constant: writtenIn(p), Recorded: p.Record != nil})
	if err != nil {
		plugin.close()
		return nil, err
	}
	b := &boundPolicy{Policy: policy, close: plugin.close, digest: module.Digest(), capabilities: module.Imports(),
		isolation: cmp.Or(p.Isolation, model.IsolationPooled), refs: 1}
	for _, hook := range module.Hooks() {
		b.hooks = append(b.hooks, hook.String())
	}
	return b, nil
}

// retain counts one more snapshot that uses b.
func (ps *policies) retain(b *boundPolicy) {
	ps.mu.Lock()
	b.refs++
	ps.mu.Unlock()
}

// release ends a snapshot's use of b; the last one closes its guest.
func (ps *policies) release(b *boundPolicy) {
	ps.mu.Lock()
	b.refs--
	last := b.refs == 0
	if last {
		delete(ps.bound, b.key)
	}
	ps.mu.Unlock()
	if last {
		b.close()
	}
}

// configBytes is what the guest gets: a string byte for byte, anything else as JSON.
func configBytes(config json.RawMessage) []byte {
	var s string
	if bytes.HasPrefix(config, []byte(`"`)) && json.Unmarshal(config, &s) == nil {
		return []byte(s)
	}
	return config
}

// writtenIn tells whether a host stands, whole, in what the operator wrote for p.
func writtenIn(p *model.Policy) func(host string) bool {
	var urls []string
	var config any
	if json.Unmarshal(p.Config, &config) == nil {
		urls = appendStrings(urls, config)
	}
	urls = append(urls, p.Grants.HTTP...)
	return func(host string) bool {
		return slices.ContainsFunc(urls, func(u string) bool {
			_, rest, ok := strings.Cut(u, "://")
			if !ok {
				rest = u
			}
			if i := strings.IndexAny(rest, "/?#"); i >= 0 {
				rest = rest[:i]
			}
			return strings.EqualFold(rest, host)
		})
	}
}

func appendStrings(dst []string, v any) []string {
	switch v := v.(type) {
	case string:
		return append(dst, v)
	case []any:
		for _, e := range v {
			dst = appendStrings(dst, e)
		}
	case map[string]any:
		for _, e := range v {
			dst = appendStrings(dst, e)
		}
	}
	return dst
}

// plugin is a guest as the pipeline sees it, with its calls counted.
type plugin struct {
	*guest.Policy
	recording *recording.Policy // nil when it is off
	metrics   [abi.HookObserve + 1]*observe.PluginMetrics
}

func newPlugin(g *guest.Policy, o *observe.Observer, id string) *plugin {
	p := &plugin{Policy: g}
	for h := range abi.Hooks() {
		if g.Has(h) {
			p.metrics[h] = o.Plugin(id, h.String())
		}
	}
	return p
}

// Call runs a hook once.
func (p *plugin) Call(ctx context.Context, hook abi.Hook, c pipeline.Call) error {
	start := time.Now()
	fuel, err := p.call(ctx, hook, c, start)
	p.metrics[hook].Done(time.Since(start), fuel, err != nil)
	if failure, ok := errors.AsType[*guest.Error](err); ok {
		p.metrics[hook].Trap(string(failure.Kind))
	}
	return err
}

func (p *plugin) call(ctx context.Context, hook abi.Hook, c pipeline.Call, now time.Time) (uint64, error) {
	if p.recording != nil {
		if taken := p.recording.Take(now); taken != nil {
			return taken.Run(ctx, p.Policy, hook, c)
		}
	}
	return p.Policy.Call(ctx, hook, c)
}

func (p *plugin) close() {
	if p.recording != nil {
		p.recording.Close()
	}
	p.Policy.Close()
}

// authorizerPolicy is the built-in policy that does what an authorizer of type jwt says.
func authorizerPolicy(a *model.Authorizer) (model.Policy, error) {
	source, err := identitySource(a.IdentitySource)
	if err != nil {
		return model.Policy{}, err
	}
	config, err := json.Marshal(struct {
		Issuer         string   `json:"issuer"`
		Audience       []string `json:"audience,omitempty"`
		Scopes         []string `json:"scopes,omitempty"`
		IdentitySource string   `json:"identity_source"`
	}{a.Issuer, a.Audience, a.Scopes, source})
	if err != nil {
		return model.Policy{}, err
	}
	return model.Policy{Plugin: "jwt", Config: config, Grants: model.Grants{JWKS: []string{a.Issuer}}, Position: a.Position}, nil
}

// identitySource turns Amazon's expression into a selector.
func identitySource(s string) (string, error) {
	if s == "" {
		return "header.authorization", nil
	}
	if name, ok := strings.CutPrefix(s, "$request.header."); ok {
		return "header." + strings.ToLower(name), nil
	}
	if name, ok := strings.CutPrefix(s, "$request.querystring."); ok {
		return "param." + name, nil
	}
	return "", fmt.Errorf("identity source %q, want $request.header.NAME or $request.querystring.NAME", s)
}
