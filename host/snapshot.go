package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/cache"
	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/openapi"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/internal/route"
	"github.com/wasmgate/wasmgate/host/model"
)

// snapshot is what one configuration became: the part that serves and what status tells.
type snapshot struct {
	serving  *pipeline.Snapshot
	digest   [32]byte
	loaded   time.Time
	apis     []*compiledAPI
	policies []*boundPolicy        // in order of their first use
	bases    map[string][][32]byte // by plugin, the modules that its sources give
	plugins  *pluginSet
	forward  *shared[*upstreams]
	cache    *shared[*cache.Cache]
	warnings []string
	// documents are the digests of the files of apis.dir, by path.
	documents map[string][32]byte
	came      map[string]origin // where its plugins came from, by key
	reviewed  []control.ReviewedPolicy
}

// compiledAPI is one document with its routes bound. A document that did not change, with
// plugins and gateway policies that did not change, keeps its routes and their plans.
type compiledAPI struct {
	id     [32]byte
	api    *model.API
	routes []route.Route[*pipeline.Route]
	bound  []*boundPolicy // every policy that a route uses, once
	refs   atomic.Int64   // snapshots that use it

	places  map[*boundPolicy][]string // the keys of the routes that use a policy
	gateway map[*boundPolicy]bool     // those that are bound to the whole gateway
}

// add puts policies among those that the route of a key uses.
func (a *compiledAPI) add(list []*boundPolicy, key string) {
	for _, p := range list {
		if at := a.places[p]; len(at) == 0 || at[len(at)-1] != key {
			a.places[p] = append(at, key)
		}
		if !slices.Contains(a.bound, p) {
			a.bound = append(a.bound, p)
		}
	}
}

// builder makes one snapshot.
type builder struct {
	*core
	ctx      context.Context
	setup    *setup
	plugins  *pluginSet
	gateway  openapi.Set             // its policies and keys
	broken   map[model.Position]bool // policies that documents report
	previous map[[32]byte]*compiledAPI
	problems document.Errors
	bases    map[string][][32]byte
	used     map[[32]byte]*boundPolicy
	failed   map[[32]byte]error // policies that could not be bound: not tried on each route
	order    []*boundPolicy
}

// build makes a snapshot of the files as they are now. On an error nothing of it is left
// behind, and every error is told, not the first.
func (c *core) build(ctx context.Context, with *setup, previous *snapshot) (*snapshot, error) {
	documents, err := openapi.LoadDir(with.config.APIs.Dir, openapi.Options{Resolver: with.config.Resolver})
	var problems document.Errors
	if err != nil && !errors.As(err, &problems) {
		problems = document.Errors{unreadable(with.config, err)}
	}
	plugins, broken := c.modules.open(ctx, with.config)
	defer plugins.sources.Close()
	problems = append(problems, broken...)
	b := &builder{core: c, ctx: ctx, setup: with, plugins: plugins, previous: make(map[[32]byte]*compiledAPI),
		problems: problems, bases: make(map[string][][32]byte), used: make(map[[32]byte]*boundPolicy), failed: make(map[[32]byte]error)}
	if documents != nil {
		b.gateway, b.broken = *documents, documents.Broken
		for i := range b.gateway.Policies {
			b.gateway.Policies[i].Gateway = true
		}
	}
	if previous != nil {
		for _, a := range previous.apis {
			b.previous[a.id] = a
		}
	}
	s := &snapshot{plugins: plugins, forward: with.forward, cache: with.cache}
	s.forward.retain()
	s.cache.retain()
	if documents != nil {
		b.prepare(documents)
		b.judgeRollouts()
		for _, api := range documents.APIs {
			s.apis = append(s.apis, b.compile(api))
		}
		b.bindBeside()
		s.documents = documents.Digests
		for _, w := range documents.Warnings {
			s.warnings = append(s.warnings, with.config.Scrub(w.String()))
		}
	}
	s.policies, s.bases = b.order, b.bases
	if len(b.problems) > 0 {
		c.giveBack(s)
		return nil, &ConfigErrors{problems: b.problems.Err().(document.Errors), refused: plugins.refused(b.problems)}
	}
	table, err := b.table(s.apis)
	if err != nil {
		c.giveBack(s)
		return nil, configErrors(err)
	}
	if err := plugins.keep(c.log); err != nil {
		c.giveBack(s)
		return nil, err
	}
	s.digest, s.loaded = digestAPIs(s.apis), time.Now()
	s.came = s.origins()
	s.reviewed = s.review() // now, while it uses its plugins
	s.serving = pipeline.NewSnapshot(pipeline.Parts{Table: table, Upstreams: with.forward.value, Buckets: with.buckets, Cache: with.cache.value,
		Close: func() { c.giveBack(s) }})
	return s, nil
}

// unreadable is a failure of the file system below apis.dir.
func unreadable(c *Config, err error) document.Problem {
	why := err.Error()
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == c.APIs.Dir {
		why = e.Err.Error()
	}
	return c.Problem("apis.dir", why, "a folder of API documents")
}

// giveBack ends s's part in policies and plugins.
func (c *core) giveBack(s *snapshot) {
	for _, a := range s.apis {
		if a == nil || a.refs.Add(-1) > 0 {
			continue
		}
		for i := range a.routes {
			a.routes[i].Value.Metrics.Release()
		}
	}
	for _, p := range s.policies {
		c.policies.release(p)
	}
	s.plugins.release()
	s.forward.release()
	s.cache.release()
}

func digestAPIs(apis []*compiledAPI) [32]byte {
	h := sha256.New()
	for _, a := range apis {
		h.Write(a.id[:])
	}
	return [32]byte(h.Sum(nil))
}

func (b *builder) table(apis []*compiledAPI) (*route.Table[*pipeline.Route], error) {
	list := make([]route.API[*pipeline.Route], 0, len(apis))
	for _, a := range apis {
		list = append(list, route.API[*pipeline.Route]{ID: a.api.ID, Protocol: a.api.Protocol, Stage: a.api.Stage,
			Domains: a.api.Domains, BasePath: a.api.BasePath, Routes: a.routes})
	}
	return route.Build(list, route.Options{})
}

// compile binds all policies of one document; nil when there were problems.
func (b *builder) compile(api *model.API) *compiledAPI {
	policies := b.policiesOf(api)
	id, ok := b.identify(api, policies)
	if !ok {
		return nil
	}
	if old := b.previous[id]; old != nil {
		for _, p := range old.bound {
			b.share(p)
		}
		old.refs.Add(1)
		return old
	}
	a := &compiledAPI{id: id, api: api, places: make(map[*boundPolicy][]string)}
	a.refs.Store(1)
	shared := &pipeline.API{ID: api.ID, Stage: api.Stage, Protocol: api.Protocol,
		StageVariables: api.StageVariables, Keys: b.keys(api)}
	for i := range api.Routes {
		r := &api.Routes[i]
		list, missing := b.bindAll(policies[i], nil)
		a.add(list, r.Key())
		bound := make([]*pipeline.Policy, len(list))
		for j, p := range list {
			bound[j] = p.Policy
		}
		one := pipeline.Route{API: shared, Key: r.Key(), Path: r.Path,
			Integration: integrationJSON(r.Integration), Host: constantHost(r.Integration), Cache: b.setup.cache.value.Group(api.ID + "/" + api.Stage),
			Metrics: b.observer.Route(observe.RouteKey{API: api.ID, Stage: api.Stage, Route: r.Path, Method: r.Method})}
		canaries, also := b.canaries(one, policies[i], bound)
		a.add(also, r.Key())
		one.Canaries = canaries
		compiled := pipeline.NewRoute(one, bound)
		if !compiled.Integrates() && !missing {
			b.report(r.Position, r.Key(), "no integration", "x-amazon-apigateway-integration or a policy with an integrate hook")
		}
		a.routes = append(a.routes, route.Route[*pipeline.Route]{Method: r.Method, Path: r.Path, Value: compiled})
	}
	a.gateway = b.boundToGateway()
	return a
}

// policiesOf is the policies of each route in the order that they run: the gateway's, the
// API's, the route's authorizers, its own, and the one that integrates.
func (b *builder) policiesOf(api *model.API) [][]model.Policy {
	all := make([][]model.Policy, len(api.Routes))
	common := slices.Concat(b.gateway.Policies, api.Policies)
	for i := range api.Routes {
		r := &api.Routes[i]
		list := slices.Clone(common)
		for j := range r.Authorizers {
			p, err := authorizerPolicy(&r.Authorizers[j])
			if err != nil {
				b.report(r.Authorizers[j].Position, "authorizer "+r.Authorizers[j].Name, err.Error(), "")
				continue
			}
			list = append(list, p)
		}
		list = append(list, r.Policies...)
		if r.Integration != nil {
			list = append(list, integrationPolicy(r.Integration))
		}
		for j := range list {
			b.limit(&list[j])
		}
		all[i] = list
	}
	return all
}

// integrationPolicy is the one policy that serves every integration of its kind: the
// route's own integration reaches it in the record.
func integrationPolicy(i *model.Integration) model.Policy {
	id := "http"
	if i.Type == "mock" {
		id = "mock"
	}
	return model.Policy{Plugin: id, Config: json.RawMessage("{}"), Position: i.Position}
}

// identify names what api compiles to: the document, the gateway's policies, and the modules
// of all of them.
func (b *builder) identify(api *model.API, policies [][]model.Policy) ([32]byte, bool) {
	content, err := json.Marshal(struct {
		API          *model.API
		Policies     []model.Policy
		Keys         []model.APIKey
		Fuel, Memory uint64
		Generation   uint64
	}{api, b.gateway.Policies, b.gateway.Keys, b.setup.config.Plugins.Fuel, uint64(b.setup.config.Plugins.Memory), b.setup.generation})
	if err != nil {
		b.report(api.Position, "", err.Error(), "")
		return [32]byte{}, false
	}
	h := sha256.New()
	h.Write(content)
	ids := make(map[string]*model.Policy) // one for each module
	for _, list := range policies {
		for i := range list {
			ids[list[i].Plugin+" "+list[i].Source.String()] = &list[i]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if m, base, err := b.moduleOf(ids[id]); err == nil {
			d := m.Digest()
			h.Write(d[:])
			if c := b.rollouts.running(ids[id].Plugin, base); c != nil {
				h.Write(binary.LittleEndian.AppendUint64(nil, c.serial))
			}
		} // an error is told with the position of the policy, in bindAll
	}
	return [32]byte(h.Sum(nil)), true
}

// report tells of one problem.
func (b *builder) report(at model.Position, path, got, want string) {
	b.problems = append(b.problems, document.Problem{Position: at, Path: path, Got: got, Want: want})
}

// bindAll binds one route's policies, in order, and reports those that cannot be; missing
// says that one of these may have been meant to integrate. with are modules that take the
// place of plugins' own.
func (b *builder) bindAll(list []model.Policy, with map[string]*guest.Module) (bound []*boundPolicy, missing bool) {
	for i := range list {
		p := &list[i]
		module := with[p.Plugin]
		if module == nil {
			module = b.module(p)
		}
		if module == nil {
			missing = true
			continue
		}
		one, err := b.bind(module, p)
		if err != nil {
			b.problems = append(b.problems, refusal(p.Position, "policy "+p.Plugin, err))
		}
		if one == nil {
			missing = missing || module.Has(abi.HookIntegrate)
			continue
		}
		if !one.background {
			bound = append(bound, one)
		}
	}
	return bound, missing
}

// bindBeside binds the gateway's policies of other ABIs whether or not there is a route for
// them: their timers and queues need no request.
func (b *builder) bindBeside() {
	for _, p := range b.gateway.Policies {
		if module, _, err := b.moduleOf(&p); err != nil || module.ABI() == "" {
			continue // a plugin that there is not is told where it is bound
		}
		b.limit(&p)
		b.bindAll([]model.Policy{p}, nil)
	}
}

// limit gives a policy the process's limits where it has none of its own.
func (b *builder) limit(p *model.Policy) {
	p.Fuel = cmp.Or(p.Fuel, b.setup.config.Plugins.Fuel)
	p.Memory = cmp.Or(p.Memory, uint64(b.setup.config.Plugins.Memory))
}

// module is the plugin of p; nil when there is none, which is told here unless the file or
// the document is reported already.
func (b *builder) module(p *model.Policy) *guest.Module {
	module, base, err := b.moduleOf(p)
	_, isFile := b.plugins.byFile[p.Plugin]
	switch {
	case err == nil && p.Digest != "" && p.Digest != digestText(base):
		b.report(p.Position, "policy "+p.Plugin, fmt.Sprintf("a module with digest %s from %s", digestText(base), b.plugins.provenance(base).source), p.Digest)
	case err == nil:
		return module
	case errors.Is(err, errNoPlugin):
		if p.Plugin != "" && !b.plugins.broken[p.Plugin] {
			b.report(p.Position, "plugin", strconv.Quote(p.Plugin), "a plugin that there is: "+strings.Join(b.plugins.ids(), ", "))
		}
	case p.Source != (model.Source{}):
		at := "policy " + p.Plugin
		if from := p.Source.String(); !strings.Contains(err.Error(), from) {
			at += " from " + from
		}
		b.problems = append(b.problems, refusal(p.Position, at, err))
	case !isFile:
		b.problems = append(b.problems, refusal(p.Position, "plugin "+p.Plugin, err))
	}
	return nil
}

// bind binds a policy once for the whole snapshot. One that is among the document's problems
// is not bound; of its config is told what can be.
func (b *builder) bind(module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	if b.broken[p.Position] {
		if p.Config == nil {
			return nil, nil
		}
		return nil, module.CheckConfig(configBytes(p.Config))
	}
	id := boundID(module, p)
	if one := b.used[id]; one != nil {
		return one, nil
	}
	if err := b.failed[id]; err != nil {
		return nil, err
	}
	one, err := b.policies.bind(b.ctx, module, p)
	if err != nil {
		b.failed[id] = err
		return nil, err
	}
	b.used[id] = one
	b.order = append(b.order, one)
	return one, nil
}

// share takes a policy of the previous snapshot over.
func (b *builder) share(p *boundPolicy) {
	if b.used[p.key] != nil {
		return
	}
	b.core.policies.retain(p)
	b.used[p.key] = p
	b.order = append(b.order, p)
}

// keys is the API keys that api accepts: its own and the gateway's.
func (b *builder) keys(api *model.API) map[[32]byte]*model.APIKey {
	keys := make(map[[32]byte]*model.APIKey, len(api.Keys)+len(b.gateway.Keys))
	for _, list := range [...][]model.APIKey{b.gateway.Keys, api.Keys} {
		for i := range list {
			keys[list[i].SHA256] = &list[i]
		}
	}
	return keys
}

func integrationJSON(i *model.Integration) []byte {
	if i == nil {
		return nil
	}
	data, err := json.Marshal(i)
	if err != nil {
		panic("encode integration: " + err.Error()) // strings, numbers and maps of them
	}
	return data
}

// constantHost is the authority of an integration's URI when no variable is part of it.
func constantHost(i *model.Integration) string {
	if i == nil {
		return ""
	}
	_, rest, ok := strings.Cut(i.URI, "://")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if strings.ContainsAny(rest, "{}$") {
		return ""
	}
	if u, err := url.Parse("http://" + rest); err != nil || u.User != nil {
		return ""
	}
	return rest
}

// short is the beginning of a digest, for people.
func short(d [32]byte) string { return hex.EncodeToString(d[:6]) }
