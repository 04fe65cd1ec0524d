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
	"strings"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/model"
)

// policies keeps the bound policies of all snapshots by what they are made of, so that a
// policy that did not change keeps its instances. It is safe for concurrent use.
type policies struct {
	engine    *guest.Engine
	observer  *observe.Observer
	adapters  adapters
	instances int // that one policy may have

	mu    sync.Mutex
	bound map[[32]byte]*boundPolicy
}

// boundPolicy is a policy with its guest and the number of snapshots that use it.
type boundPolicy struct {
	*pipeline.Policy
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
	id := bindingID(module, p)
	ps.mu.Lock()
	if b := ps.bound[id]; b != nil {
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
	ps.mu.Lock()
	ps.bound[id] = b
	ps.mu.Unlock()
	return b, nil
}

// bindHooks binds a plugin of our own ABI.
func (ps *policies) bindHooks(ctx context.Context, module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	g, err := ps.engine.Bind(ctx, module, guest.Binding{Name: p.Plugin, Config: configBytes(p.Config),
		Grants: p.Grants, Fuel: p.Fuel, Memory: p.Memory, Isolation: p.Isolation})
	if err != nil {
		return nil, err
	}
	policy, err := pipeline.NewPolicy(pipeline.Policy{Plugin: newPlugin(g, ps.observer, p.Plugin), ID: bindingID(module, p), Name: p.Plugin,
		OnError: p.OnError, Constant: writtenIn(p)})
	if err != nil {
		g.Close()
		return nil, err
	}
	b := &boundPolicy{Policy: policy, close: g.Close, digest: module.Digest(), capabilities: module.Imports(),
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
		delete(ps.bound, b.ID)
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
	metrics [abi.HookObserve + 1]*observe.PluginMetrics
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
	fuel, err := p.Policy.Call(ctx, hook, c)
	p.metrics[hook].Done(time.Since(start), fuel, err != nil)
	if failure, ok := errors.AsType[*guest.Error](err); ok {
		p.metrics[hook].Trap(string(failure.Kind))
	}
	return err
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
