package host

import (
	"slices"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/model"
)

// moduleOf is the module of a policy: what its source gives, whose digest is base, or the
// version that was promoted in its place.
func (b *builder) moduleOf(p *model.Policy) (module *guest.Module, base [32]byte, err error) {
	id := p.Plugin
	if module, err = b.plugins.get(b.ctx, p); err != nil {
		return nil, base, err
	}
	base = module.Digest()
	if !slices.Contains(b.bases[id], base) {
		b.bases[id] = append(b.bases[id], base)
	}
	if m := b.rollouts.promoted(id, base); m != nil {
		module = m
	}
	return module, base, nil
}

// canaries are the route with the new version of each plugin that is being rolled out; a
// request meets one new version at most. bound are its policies in their order, and change
// to ones that are counted. also are the policies that the canaries add.
func (b *builder) canaries(r pipeline.Route, policies []model.Policy, bound []*pipeline.Policy) (canaries []pipeline.Canary, also []*boundPolicy) {
	tried := make(map[string]bool)
	for i := range policies {
		id := policies[i].Plugin
		_, base, err := b.moduleOf(&policies[i])
		if err != nil || tried[id] {
			continue
		}
		tried[id] = true
		c := b.rollouts.running(id, base)
		if c == nil || c.share.Stage != "" && c.share.Stage != r.API.Stage {
			continue
		}
		list, _ := b.bindAll(policies, map[string]*guest.Module{id: c.module})
		if len(list) != len(bound) {
			continue // some were refused, which is reported
		}
		mixed := make([]*pipeline.Policy, len(list))
		for j, p := range list {
			mixed[j] = p.Policy
			if p.Name == id {
				mixed[j], bound[j] = counted(p.Policy, bound[j], &c.now), counted(bound[j], bound[j], &c.old)
			}
		}
		also = append(also, list...)
		r.Variant = string(c.module.ID()) + " " + digestText(c.module.Digest())
		canaries = append(canaries, pipeline.Canary{Takes: c.takes(r.API.Stage), Route: pipeline.NewRoute(r, mixed)})
	}
	return canaries, also
}

// counted is p with a tally, and with the token buckets of the version that served before:
// who is limited must not get twice as much because two versions count.
func counted(p, before *pipeline.Policy, tally *pipeline.Tally) *pipeline.Policy {
	q := *p
	q.Buckets, q.Tally = before.Buckets, tally
	return &q
}
