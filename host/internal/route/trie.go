package route

import (
	"hash/maphash"
	"strings"
)

// trie is the resources of all APIs, a tree for each. Its edges stand in one hash table,
// so that a step costs the same however many siblings there are.
type trie struct {
	nodes  []node
	leaves []leaf
	routes []pattern // by route
	edges  []edge    // open addressing; len is a power of two
	seed   maphash.Seed
}

// node is one resource.
type node struct {
	variable int32 // the {x} below it, or 0: the first node is nobody's child
	own      span  // the methods that it serves
	greedy   span  // the methods that the {proxy+} below it serves
}

// span is a part of the leaves.
type span struct{ start, end int32 }

// leaf is one method.
type leaf struct {
	method string
	route  int32
}

// edge leads from a node over a literal to a node.
type edge struct {
	label    string
	from, to int32 // to is 0 in an empty place
	hash     uint32
}

// pattern is the variables of a route's path.
type pattern []variable

type variable struct {
	name    string
	segment int
	greedy  bool
}

func (t *trie) hash(from int32, label string) uint64 {
	h := maphash.String(t.seed, label) ^ uint64(uint32(from))*0x9e3779b97f4a7c15
	return h * 0xbf58476d1ce4e5b9 // spreads from over the bits that choose the place
}

// child is where the literal leads, or 0.
func (t *trie) child(from int32, label string) int32 {
	h := t.hash(from, label)
	mask := len(t.edges) - 1
	for i := int(h>>32) & mask; ; i = (i + 1) & mask {
		e := &t.edges[i]
		if e.to == 0 || e.hash == uint32(h) && e.from == from && e.label == label {
			return e.to
		}
	}
}

// search is one walk.
type search struct {
	trie   *trie
	path   string // starts with a slash, has none at its end
	method string
	any    bool // ANY serves the method
	greedy bool // {proxy+} is tried
	known  bool // a resource was met that does not serve the method
}

// walk is the route below node n for what is left of the path from at, or none.
func (s *search) walk(n int32, at int) int32 {
	if at > len(s.path) {
		return s.pick(s.trie.nodes[n].own)
	}
	end := strings.IndexByte(s.path[at:], '/')
	if end < 0 {
		end = len(s.path)
	} else {
		end += at
	}
	if segment := s.path[at:end]; segment != "" {
		if c := s.trie.child(n, segment); c != 0 {
			if r := s.walk(c, end+1); r != none {
				return r
			}
		}
		if c := s.trie.nodes[n].variable; c != 0 {
			if r := s.walk(c, end+1); r != none {
				return r
			}
		}
	}
	if s.greedy && at < len(s.path) {
		return s.pick(s.trie.nodes[n].greedy)
	}
	return none
}

// pick is the route that serves the method: its own, else ANY.
func (s *search) pick(of span) int32 {
	route := none
	for _, l := range s.trie.leaves[of.start:of.end] {
		if l.method == s.method {
			return l.route
		}
		if s.any && l.method == "ANY" {
			route = l.route
		}
	}
	s.known = s.known || route == none && of.start < of.end
	return route
}

// fill puts the values of a route's variables into params.
func (t *trie) fill(route int32, path string, params *[MaxParams]Param) (n int) {
	path = strings.TrimSuffix(path, "/")
	segment, at := 0, 1
	for _, v := range t.routes[route] {
		for ; segment < v.segment; segment++ {
			at += strings.IndexByte(path[at:], '/') + 1
		}
		value := path[at:]
		if !v.greedy {
			if end := strings.IndexByte(value, '/'); end >= 0 {
				value = value[:end]
			}
		}
		params[n] = Param{v.name, value}
		n++
	}
	return n
}
