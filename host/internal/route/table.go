package route

import (
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// MaxParams is how many variables a path may have.
const MaxParams = 16

// API is one API on its stage, with its routes.
type API[T any] struct {
	ID       string
	Protocol model.Protocol // REST when empty
	Stage    string         // "$default" is at the root of the execute-api host
	Domains  []string       // lower case; *.example.com stands for one label
	BasePath string         // on the domains, without slashes at its ends
	Routes   []Route[T]
}

// Route is one method of one resource.
type Route[T any] struct {
	Method string // upper case, or ANY
	Path   string // as [model.ParsePath] takes it, or [model.DefaultPath] in an HTTP API
	Value  T
}

// Result is what [Table.Lookup] found.
type Result uint8

// The results.
const (
	Found   Result = iota
	NoAPI          // no API has that host, or none of its base paths fits
	NoRoute        // the API has no such stage, resource or method
	BadPath        // the path is ambiguous: 400
)

// String is the result's name.
func (r Result) String() string {
	return [...]string{"found", "no api", "no route", "bad path"}[r]
}

// Param is a path variable's value, percent-encoding untouched. The value of a greedy
// one has slashes, but not the path's last.
type Param struct{ Name, Value string }

// Match is what Lookup tells. Its strings are parts of the target and of the table.
type Match[T any] struct {
	// API is the API, in the slice that Build was given, at Index; nil with NoAPI.
	API   *API[T]
	Index int
	// Route is nil unless Found.
	Route *Route[T]
	// Path is the target below the stage or base path: it starts with one slash, the rest
	// is untouched. Set with Found and NoRoute.
	Path string
	// MethodMissing tells, with NoRoute, that the resource is there without the method.
	MethodMissing bool

	params [MaxParams]Param
	n      int
}

// Params is the path's variables, in its order; of use until the next Lookup with m.
func (m *Match[T]) Params() []Param { return m.params[:m.n] }

// Param is the value of a variable; ok tells whether the path has it.
func (m *Match[T]) Param(name string) (value string, ok bool) {
	for _, p := range m.params[:m.n] {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Table is the compiled routes of all APIs. It is never changed: safe for concurrent use.
type Table[T any] struct {
	apis  []API[T]
	roots []root // by API
	trie  trie
	exact map[string]host
	wild  map[string]host // by what follows *.
}

// root is where an API's routes start.
type root struct {
	node     int32
	fallback int32 // the route of $default, or none
	first    int32 // the number of its first route
	rest     bool
}

// host is the APIs that share one.
type host struct {
	node int32 // of the base paths and stages; 0 for no host
	any  int32 // an HTTP API, which answers 404 when no stage fits; none where Amazon answers 403
}

const none = int32(-1)

// Lookup finds the route of a request. authority is lower case, a port in it is left
// out; target is the path without query. It allocates nothing, but for a target that is
// read a second time.
func (t *Table[T]) Lookup(authority, method, target string, m *Match[T]) Result {
	m.API, m.Index, m.Route, m.Path, m.MethodMissing, m.n = nil, 0, nil, "", false, 0
	h := t.host(authority)
	if h.node == 0 {
		return NoAPI
	}
	if target == "" || target[0] != '/' {
		return BadPath
	}
	s := search{trie: &t.trie}
	api, l := t.find(h, method, target, &s)
	doubt := examine(target) // after find, so that the processor does it while it waits for the table
	if doubt == bad {
		return BadPath
	}
	if doubt == ambiguous && l != missing {
		lax, ok := laxest(target)
		if !ok {
			return BadPath
		}
		for _, other := range [...]string{lax, beforeQuery(lax)} {
			again := search{trie: &t.trie}
			if _, there := t.find(h, method, other, &again); there != l {
				return BadPath
			}
		}
	}
	if api == none {
		return NoAPI
	}
	m.API, m.Index, m.Path = &t.apis[api], int(api), s.path
	if l == missing {
		m.MethodMissing = s.known
		return NoRoute
	}
	m.Route = &m.API.Routes[l.route-t.roots[api].first]
	names := t.trie.names[l.names>>8:]
	for i, v := range s.values[:s.n] {
		m.params[i] = Param{names[i], s.path[v.start:v.end]}
	}
	m.n = s.n
	return Found
}

// host is the host of an authority.
func (t *Table[T]) host(authority string) host {
	name := authority
	for i := len(name) - 1; i >= 0 && name[i] != ']'; i-- {
		if name[i] == ':' {
			name = name[:i]
			break
		}
	}
	name = strings.TrimSuffix(name, ".")
	if h := t.exact[name]; h.node != 0 {
		return h
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		return t.wild[name[i+1:]]
	}
	return host{}
}

// find is one reading of a target: the API or none, and the leaf, whose variables are in
// s with the path below the prefix.
func (t *Table[T]) find(h host, method, target string, s *search) (api int32, l leaf) {
	api, length := t.trie.mount(h.node, target)
	if api == none {
		s.path = target
		return h.any, missing
	}
	path := target[length:]
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	if path == "" {
		path = "/"
	}
	r := &t.roots[api]
	s.path = strings.TrimSuffix(path, "/")
	s.method = t.trie.number(method)
	s.any, s.greedy = !r.rest || s.method <= lastInANY, r.rest
	start := &t.trie.nodes[r.node]
	if l = s.walk(start, 0); l == missing && !r.rest {
		s.n, s.greedy = 0, true
		if l = s.walk(start, 0); l == missing && r.fallback != none {
			s.n, l = 0, leaf{route: r.fallback}
		}
	}
	s.path = path
	return api, l
}
