package route

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
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
	t := &Table[T]{apis: apis, exact: map[string]*host{}, wild: map[string]*host{}}
	b := builder{nodes: make([]draft, 1), edges: map[key]int32{}}
	for i := range apis {
		api := &apis[i]
		b.api, b.rest = fmt.Sprintf("api %q stage %q", api.ID, api.Stage), api.Protocol != model.HTTP
		r := root{node: b.node(), fallback: none, rest: b.rest}
		for j := range api.Routes {
			route := &api.Routes[j]
			index := int32(len(t.routes))
			t.routes = append(t.routes, route)
			if route.Path != model.DefaultPath || b.rest {
				b.route(r.node, route.Method, route.Path, index)
				continue
			}
			b.patterns = append(b.patterns, nil)
			if route.Method != "ANY" || r.fallback != none {
				b.problem("%s %s: want ANY, once", route.Method, route.Path)
			}
			r.fallback = index
		}
		t.roots = append(t.roots, r)
		t.addresses(&b, int32(i), o.Suffix)
	}
	if len(b.problems) > 0 {
		return nil, fmt.Errorf("build routes: %w", errors.Join(b.problems...))
	}
	t.trie = b.trie()
	return t, nil
}

// addresses puts an API under its hosts.
func (t *Table[T]) addresses(b *builder, index int32, suffix string) {
	api := &t.apis[index]
	stage := "/" + api.Stage
	if api.Stage == "" || api.Stage == "$default" {
		stage = ""
	}
	mount := func(hosts map[string]*host, name, prefix string) *host {
		h := hosts[name]
		if h == nil {
			h = &host{mounts: map[string]int32{}, any: none}
			hosts[name] = h
		}
		if first, ok := h.mounts[prefix]; ok {
			b.problem("the address %s%s of api %q", name, prefix, t.apis[first].ID)
		}
		h.mounts[prefix], h.depth = index, max(h.depth, strings.Count(prefix, "/"))
		return h
	}
	mount(t.exact, strings.ToLower(api.ID)+suffix, stage).any = index
	base := ""
	if api.BasePath != "" {
		base = "/" + strings.Trim(api.BasePath, "/")
	}
	for _, domain := range api.Domains {
		if rest, ok := strings.CutPrefix(domain, "*."); ok {
			mount(t.wild, rest, base)
		} else {
			mount(t.exact, domain, base)
		}
	}
}

// builder grows the trie.
type builder struct {
	api      string
	rest     bool
	nodes    []draft
	edges    map[key]int32
	patterns []pattern
	problems []error
}

// draft is a node with its methods.
type draft struct {
	variable    int32
	name        string // of the {x} below it, in a REST API
	own, greedy []leaf
	greedyName  string // of the {proxy+} below it, in a REST API
}

type key struct {
	from  int32
	label string
}

func (b *builder) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(b.api+": "+format, args...))
}

func (b *builder) node() int32 {
	b.nodes = append(b.nodes, draft{})
	return int32(len(b.nodes) - 1)
}

// route adds one route below n.
func (b *builder) route(n int32, method, path string, index int32) {
	segments, err := model.ParsePath(path)
	if err != nil {
		b.problem("%s %s: %w", method, path, err)
	}
	var vars pattern
	greedy := false
	for i, s := range segments {
		switch s.Kind {
		case model.Literal:
			next, ok := b.edges[key{n, s.Text}]
			if !ok {
				next = b.node()
				b.edges[key{n, s.Text}] = next
			}
			n = next
			continue
		case model.Variable:
			if b.nodes[n].variable == 0 {
				next := b.node() // before the index: it may move the nodes
				b.nodes[n].variable, b.nodes[n].name = next, s.Text
			} else if first := b.nodes[n].name; b.rest && first != s.Text {
				b.problem("%s %s: {%s} beside {%s}", method, path, s.Text, first)
			}
			n = b.nodes[n].variable
		case model.Greedy:
			greedy = true
			if first := b.nodes[n].greedyName; b.rest && first != "" && first != s.Text {
				b.problem("%s %s: {%s+} beside {%s+}", method, path, s.Text, first)
			}
			b.nodes[n].greedyName = s.Text
		}
		vars = append(vars, variable{s.Text, i, s.Kind == model.Greedy})
	}
	if len(vars) > MaxParams {
		b.problem("%s %s: %d variables, want at most %d", method, path, len(vars), MaxParams)
	}
	b.patterns = append(b.patterns, vars)
	leaves := &b.nodes[n].own
	if greedy {
		leaves = &b.nodes[n].greedy
	}
	if slices.ContainsFunc(*leaves, func(l leaf) bool { return l.method == method }) {
		b.problem("%s %s: it is there already", method, path)
	}
	*leaves = append(*leaves, leaf{method, index})
}

// trie is the finished form.
func (b *builder) trie() trie {
	size := 8
	for size < 2*len(b.edges) {
		size *= 2
	}
	t := trie{nodes: make([]node, len(b.nodes)), leaves: make([]leaf, 0, len(b.patterns)), routes: b.patterns,
		edges: make([]edge, size), seed: maphash.MakeSeed()}
	for i, d := range b.nodes {
		t.nodes[i] = node{variable: d.variable, own: t.add(d.own), greedy: t.add(d.greedy)}
	}
	for k, to := range b.edges {
		h := t.hash(k.from, k.label)
		i := int(h>>32) & (size - 1)
		for t.edges[i].to != 0 {
			i = (i + 1) & (size - 1)
		}
		t.edges[i] = edge{k.label, k.from, to, uint32(h)}
	}
	return t
}

func (t *trie) add(leaves []leaf) span {
	start := int32(len(t.leaves))
	t.leaves = append(t.leaves, leaves...)
	return span{start, int32(len(t.leaves))}
}
