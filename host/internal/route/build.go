package route

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// Suffix is what follows an API's id in its execute-api host, by default.
const Suffix = ".execute-api.localhost"

// Options say how hosts are named.
type Options struct {
	// Suffix follows an API's id in its execute-api host; empty is [Suffix].
	Suffix string
}

// Build compiles the routes of apis, which the table keeps and nobody may change. The
// error joins all conflicts: two APIs at one address, two routes for one request,
// variables of different names side by side in a REST API, and paths that are none.
func Build[T any](apis []API[T], o Options) (*Table[T], error) {
	if o.Suffix == "" {
		o.Suffix = Suffix
	}
	t := &Table[T]{apis: apis, exact: map[string]host{}, wild: map[string]host{}}
	segments, routes := 0, int32(0)
	for i := range apis {
		for j := range apis[i].Routes {
			segments += strings.Count(apis[i].Routes[j].Path, "/")
		}
	}
	b := newBuilder(segments + len(apis))
	for i := range apis {
		api := &apis[i]
		b.api, b.rest = fmt.Sprintf("api %q stage %q", api.ID, api.Stage), api.Protocol != model.HTTP
		r := root{node: b.draft(""), fallback: none, first: routes, rest: b.rest}
		for _, route := range api.Routes {
			if route.Path != model.DefaultPath || b.rest {
				b.route(r.node, route.Method, route.Path, routes)
			} else if route.Method != "ANY" || r.fallback != none {
				b.problem("%s %s: want ANY, once", route.Method, route.Path)
			} else {
				r.fallback = routes
			}
			routes++
		}
		t.roots = append(t.roots, r)
		t.addresses(b, int32(i), o.Suffix)
	}
	if len(b.problems) > 0 {
		return nil, fmt.Errorf("build routes: %w", errors.Join(b.problems...))
	}
	for i := range t.roots {
		t.roots[i].node = b.layout(t.roots[i].node)
	}
	for _, hosts := range []map[string]host{t.exact, t.wild} {
		for name, h := range hosts {
			hosts[name] = host{b.layout(h.node), h.any}
		}
	}
	t.trie = b.finish()
	return t, nil
}

// addresses puts an API under its hosts.
func (t *Table[T]) addresses(b *builder, index int32, suffix string) {
	api := &t.apis[index]
	stage := "/" + api.Stage
	if api.Stage == "" || api.Stage == "$default" {
		stage = ""
	}
	mount := func(hosts map[string]host, name, prefix string, any int32) {
		h, ok := hosts[name]
		if !ok {
			h = host{b.base(b.draft("")), none}
		}
		h.any = max(h.any, any)
		hosts[name] = h
		n := h.node
		if prefix != "" {
			for segment := range strings.SplitSeq(prefix[1:], "/") {
				n = b.base(b.literal(n, segment))
			}
		}
		if first := b.drafts[n].own; first != 0 {
			b.problem("the address %s%s of api %q", name, prefix, t.apis[b.leaves[first].route].ID)
		}
		b.leaves = append(b.leaves, link{leaf: leaf{route: index}})
		b.drafts[n].own = int32(len(b.leaves) - 1)
	}
	any := none
	if api.Protocol == model.HTTP {
		any = index
	}
	mount(t.exact, strings.ToLower(api.ID)+suffix, stage, any)
	base := ""
	if api.BasePath != "" {
		base = "/" + strings.Trim(api.BasePath, "/")
	}
	for _, domain := range api.Domains {
		if rest, ok := strings.CutPrefix(domain, "*."); ok {
			mount(t.wild, rest, base, none)
		} else {
			mount(t.exact, domain, base, none)
		}
	}
}
