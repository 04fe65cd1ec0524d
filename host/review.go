package host

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/model"
)

// maxPlaces is how many routes of one API a policy is listed at: more are counted.
const maxPlaces = 20

// Review is every policy of the running configuration with all that it may do.
func (v view) Review() control.Review {
	v.h.mu.Lock()
	s := v.h.snapshot
	v.h.mu.Unlock()
	audit := v.h.auditStatus()
	return control.Review{Snapshot: digestText(s.digest), Audit: &audit, Policies: scrubbedPolicies(v.h.options.Config, s.reviewed)}
}

// review is every policy of s, in order of its first use.
func (s *snapshot) review() []control.ReviewedPolicy {
	list := []control.ReviewedPolicy{}
	for _, p := range s.policies {
		made := s.plugins.provenance(p.digest)
		list = append(list, control.ReviewedPolicy{
			Plugin: p.Name, Version: p.version, Digest: digestText(p.digest), Source: cmp.Or(made.source, "rollout"), Signer: made.verdict.KeyID, ABI: p.abi,
			Hooks: append([]string{}, p.hooks...), Powers: powersOf(p.abi, p.capabilities), Grants: p.terms.Grants,
			Fuel: p.terms.Fuel, Memory: p.terms.Memory, Instances: p.instances, Isolation: p.isolation,
			OnError: cmp.Or(p.terms.OnError, model.OnErrorFail), Record: recordOf(&p.terms), Bound: s.places(p)})
	}
	return list
}

// recordOf says what of a policy's calls is recorded; nil is nothing.
func recordOf(p *model.Policy) *control.ReviewedRecord {
	if p.Record == nil {
		return nil
	}
	return &control.ReviewedRecord{Sample: p.Record.Sample, MaxPerMinute: p.Record.Max, Redact: p.Record.Redact, Reveal: p.Record.Reveal}
}

// places is where p is bound.
func (s *snapshot) places(p *boundPolicy) []string {
	if p.background || slices.ContainsFunc(s.apis, func(a *compiledAPI) bool { return a.gateway[p] }) {
		return []string{"gateway"}
	}
	list := []string{}
	for _, a := range s.apis {
		switch keys := a.places[p]; {
		case len(keys) == 0:
		case len(keys) == len(a.routes):
			list = append(list, a.api.ID)
		case len(keys) > maxPlaces:
			list = append(list, fmt.Sprintf("%s (%d of %d routes)", a.api.ID, len(keys), len(a.routes)))
		default:
			for _, key := range keys {
				list = append(list, a.api.ID+" "+key)
			}
		}
	}
	return list
}

// boundToGateway is the policies of the whole gateway among those that are bound.
func (b *builder) boundToGateway() map[*boundPolicy]bool {
	bound := make(map[*boundPolicy]bool, len(b.gateway.Policies))
	for _, p := range b.gateway.Policies {
		b.limit(&p)
		if module, _, err := b.moduleOf(&p); err == nil {
			if one := b.used[boundID(module, &p)]; one != nil {
				bound[one] = true
			}
		}
	}
	return bound
}

// powersOf says in plain words what imports, each as module and name, let a plugin do; abi is
// the other project's.
func powersOf(foreign string, imports []string) []string {
	powers := []string{}
	add := func(power string) {
		if power != "" && !slices.Contains(powers, power) {
			powers = append(powers, power)
		}
	}
	for _, i := range imports {
		module, name, _ := strings.Cut(i, " ")
		if c, ok := abi.CapabilityOf(module, name); ok && foreign == "" {
			add(c.Power())
		}
		for _, a := range foreignABIs() {
			if a.Name == foreign && a.Module == module {
				add(a.Functions[name].Power)
			}
		}
	}
	return powers
}

// scrubbedPolicies is list as it may leave the package. Grants may be written with references.
func scrubbedPolicies(c *Config, list []control.ReviewedPolicy) []control.ReviewedPolicy {
	list = slices.Clone(list)
	texts := func(list []string) []string {
		for i := range list {
			list[i] = c.Scrub(list[i])
		}
		return list
	}
	for i := range list {
		p := &list[i]
		p.Source = c.Scrub(p.Source)
		g := p.Grants
		p.Grants = model.Grants{HTTP: texts(slices.Clone(g.HTTP)), KV: texts(slices.Clone(g.KV)),
			Secrets: texts(slices.Clone(g.Secrets)), JWKS: texts(slices.Clone(g.JWKS))}
		for name, url := range g.Upstreams {
			if p.Grants.Upstreams == nil {
				p.Grants.Upstreams = make(map[string]string, len(g.Upstreams))
			}
			p.Grants.Upstreams[c.Scrub(name)] = c.Scrub(url)
		}
	}
	return list
}
