package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	"github.com/wasmgate/wasmgate/host/internal/guest/proxywasm"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/model"
)

// adapters serve plugins of other projects.
type adapters struct {
	proxyWasm *proxywasm.Adapter
}

// foreignABIs are the ABIs that adapters serve.
func foreignABIs() []*guest.ABI { return []*guest.ABI{proxywasm.ABI(), httpwasm.ABI()} }

// isCallback tells whether an export of a module of another ABI takes part in requests.
func isCallback(export string) bool {
	return proxywasm.IsCallback(export) || httpwasm.IsCallback(export)
}

// Foreign describes a module of another project's ABI: the callbacks that take its place of
// hooks, and each of its imports with what it lets the plugin do. An empty name is none.
func Foreign(m *abi.Module) (name string, callbacks, imports, powers []string) {
	for _, a := range foreignABIs() {
		if !a.Match(m) {
			continue
		}
		for _, e := range m.Exports {
			if isCallback(e.Name) {
				callbacks = append(callbacks, e.Name)
			}
		}
		for _, i := range m.Imports {
			power := guest.WASIPower(i.Module, i.Name)
			if f, ok := a.Functions[i.Name]; ok && i.Module == a.Module {
				power = f.Power
				if full := i.Module + " " + i.Name; !slices.Contains(imports, full) {
					imports = append(imports, full)
				}
			}
			if power != "" && !slices.Contains(powers, power) {
				powers = append(powers, power)
			}
		}
		return a.Name, callbacks, imports, powers
	}
	return "", nil, nil, nil
}

// bindingID is policyID, and tells a plugin of another ABI that is bound to the whole gateway
// from the same bound elsewhere: it may run beside all requests.
func bindingID(module *guest.Module, p *model.Policy) [32]byte {
	id := policyID(module.Digest(), p)
	if module.ABI() != "" && p.Gateway {
		return sha256.Sum256(append(id[:], "gateway"...))
	}
	return id
}

// bindFilter binds a plugin of another project's ABI.
func (ps *policies) bindFilter(ctx context.Context, module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	if p.Record != nil {
		return nil, &guest.Error{Plugin: p.Plugin, Kind: guest.KindConfig,
			Err: fmt.Errorf("record: the plugin is for %s, want one of Wasmgate's own ABI, whose calls can be run again", module.ABI())}
	}
	if module.ABI() == httpwasm.Name {
		return ps.bindHandler(ctx, module, p)
	}
	if p.Isolation != "" && p.Isolation != model.IsolationPooled {
		return nil, &guest.Error{Plugin: p.Plugin, Kind: guest.KindConfig,
			Err: fmt.Errorf("isolation %q, want %q: plugins of %s keep data from one request to the next", p.Isolation, model.IsolationPooled, module.ABI())}
	}
	b, called := ps.foreign(module, p)
	plugin, err := ps.adapters.proxyWasm.Bind(ctx, ps.engine, module, proxywasm.Binding{Name: p.Plugin, Config: configBytes(p.Config),
		Upstreams: upstreamNames(&p.Grants), Fuel: p.Fuel, Memory: p.Memory, Skip: p.OnError == model.OnErrorSkip,
		VMs: min(runtime.GOMAXPROCS(0), ps.instances), Gateway: p.Gateway, Metrics: customMetrics{ps.observer, p.Plugin},
		Called: called})
	if err != nil {
		return nil, err
	}
	b.Policy = &pipeline.Policy{Filter: filterOf(plugin), ID: bindingID(module, p), Name: p.Plugin, OnError: p.OnError}
	b.background, b.close = plugin.Background(), plugin.Close
	return b, nil
}

// foreign is a policy of a module of another ABI that is not bound yet, with what counts its
// calls.
func (ps *policies) foreign(module *guest.Module, p *model.Policy) (b *boundPolicy, called func(string, time.Duration, uint64, guest.Kind)) {
	calls := make(map[string]*observe.PluginMetrics)
	b = &boundPolicy{digest: module.Digest(), capabilities: module.Imports(),
		isolation: cmp.Or(p.Isolation, model.IsolationPooled), refs: 1}
	for _, name := range slices.Sorted(maps.Keys(module.Exports())) {
		if isCallback(name) { // a module may export as many others as it likes, each a label
			calls[name] = ps.observer.Plugin(p.Plugin, name)
			b.hooks = append(b.hooks, name)
		}
	}
	return b, func(export string, took time.Duration, fuel uint64, kind guest.Kind) {
		m := calls[export]
		if m == nil {
			return
		}
		m.Done(took, fuel, kind != "")
		if kind != "" {
			m.Trap(string(kind))
		}
	}
}

// upstreamNames are the upstreams that a plugin may call by name: those that the grant http
// names, and hosts without a name by themselves.
func upstreamNames(g *model.Grants) map[string]string {
	names := map[string]string{}
	for _, host := range g.HTTP {
		if strings.Contains(host, "*") {
			continue // no name for one upstream
		}
		url := host
		if !strings.Contains(url, "://") {
			url = "https://" + url
		}
		_, authority, _ := strings.Cut(url, "://")
		names[host], names[authority] = url, url
	}
	maps.Copy(names, g.Upstreams)
	return names
}

// filter is a plugin of proxy-wasm as the pipeline sees it.
type filter struct{ *proxywasm.Plugin }

// filterLogger is one that keeps a log.
type filterLogger struct{ filter }

func filterOf(p *proxywasm.Plugin) pipeline.Filter {
	if p.Logs() {
		return filterLogger{filter{p}}
	}
	return filter{p}
}

// Log shows the plugin a request that was refused before.
func (f filterLogger) Log(facts pipeline.FilterFacts, h *pipeline.FilterHead, r *exchange.Response) {
	f.Plugin.Log(filterFacts(facts), (*proxywasm.Request)(h), r)
}

func filterFacts(f pipeline.FilterFacts) proxywasm.Facts {
	return proxywasm.Facts{Exchange: f.Exchange, Route: f.Route, API: f.API, Cluster: f.Host, Principal: f.Principal}
}

// Open begins one exchange's way through the plugin.
func (f filter) Open(ctx context.Context, facts pipeline.FilterFacts) (pipeline.FilterStream, error) {
	s := &filterStream{}
	var err error
	s.stream, err = f.Plugin.Open(ctx, filterFacts(facts))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// filterStream is one exchange in it.
type filterStream struct {
	stream  *proxywasm.Stream
	request proxywasm.Request
}

// Request shows the plugin the request.
func (s *filterStream) Request(ctx context.Context, h *pipeline.FilterHead) error {
	s.request = proxywasm.Request(*h)
	err := s.stream.ServeRequest(ctx, &s.request)
	*h = pipeline.FilterHead(s.request)
	return err
}

// Response shows the plugin the response.
func (s *filterStream) Response(ctx context.Context, r *exchange.Response, about pipeline.Answered) error {
	return s.stream.ServeResponse(ctx, r, about.NoBody)
}

// Reply writes the plugin's answer.
func (s *filterStream) Reply(r *exchange.Response) {
	reply := s.stream.Reply()
	r.Status = reply.Status
	reply.Header.CopyTo(&r.Header)
	r.SetBody(reply.Body)
}

// Close shows the plugin the end.
func (s *filterStream) Close(r *exchange.Response) { s.stream.Close(&s.request, r) }

// customMetrics keeps the metrics that a plugin defines.
type customMetrics struct {
	observer *observe.Observer
	plugin   string
}

// Metric is the metric of that kind and name.
func (c customMetrics) Metric(kind proxywasm.MetricKind, name string) proxywasm.Metric {
	if m := c.observer.Custom(c.plugin, observe.CustomKind(kind), name); m != nil {
		return m
	}
	return nil
}
