package route

import (
	"hash/maphash"
	"slices"
	"strings"
)

// trie is the resources of all APIs, a tree for each, laid out for few cache misses:
// resources without methods or branches are steps on the way to the next node, equal ways
// are stored once, and all literals that branch are in one hash table, so that a branch
// costs the same however many siblings there are.
type trie struct {
	nodes   []node
	steps   []step
	leaves  []leaf
	edges   []edge   // open addressing; len is a power of two
	labels  string   // the literals, each once
	methods []string // by number; the first is ANY
	names   []string // of the variables: those of a path together, each such list once
	seed    maphash.Seed
}

// node is a resource that serves something or where paths part, with the way to it.
type node struct {
	way      int32 // first step from the branch above
	steps    uint8
	own      uint8 // how many methods it serves, and
	greedy   uint8 // the {proxy+} below it
	branches bool  // literals are below it
	variable int32 // the {x} below it, 0 for none: the first node is nobody's child
	leaves   int32 // its methods but the first, then the greedy ones
	first    leaf
}

// step is a segment that leads to a node.
type step struct {
	label    uint32
	length   uint16
	variable bool
}

// leaf is one method of a resource.
type leaf struct {
	route  int32
	names  int32
	method uint8
}

// edge leads from a node over a literal to a node.
type edge struct {
	from, to int32 // to is 0 in an empty place
	label    uint32
	length   uint16
	head     [head]byte // of the label, so that most labels need no look into the others
}

const head = 18

// place is where the edge is in the table, unless another is there.
func (t *trie) place(from int32, label string) int {
	h := maphash.String(t.seed, label) ^ uint64(uint32(from))*0x9e3779b97f4a7c15
	h *= 0xbf58476d1ce4e5b9 // spreads from over the bits that are used
	return int(h>>32) & (len(t.edges) - 1)
}

// child is where the literal leads, or 0.
func (t *trie) child(from int32, label string) int32 {
	for i := t.place(from, label); ; i = (i + 1) & (len(t.edges) - 1) {
		e := &t.edges[i]
		if e.to == 0 || e.from == from && t.is(e, label) {
			return e.to
		}
	}
}

// is tells whether the edge has the label.
func (t *trie) is(e *edge, label string) bool {
	if int(e.length) != len(label) {
		return false
	}
	if len(label) <= head {
		return string(e.head[:len(label)]) == label
	}
	return string(e.head[:]) == label[:head] && t.labels[e.label:e.label+uint32(e.length)] == label
}

// search is one walk.
type search struct {
	trie   *trie
	path   string // starts with a slash, has none at its end
	method uint8
	any    bool // ANY serves the method
	greedy bool // {proxy+} is tried
	known  bool // a resource was met that does not serve the method

	values [MaxParams]value // of the variables on the way
}

// value is a part of the path.
type value struct{ start, end int32 }

// unknown is the number of a method that only ANY serves.
const unknown = 255

// number is the number of a method.
func (t *trie) number(method string) uint8 {
	if i := slices.Index(t.methods, method); i > 0 {
		return uint8(i)
	}
	return unknown
}

// segment is the end of the segment at at; ok is false when there is none, or an empty one.
func (s *search) segment(at int) (end int, ok bool) {
	if at >= len(s.path) {
		return 0, false
	}
	end = strings.IndexByte(s.path[at:], '/')
	if end < 0 {
		return len(s.path), true
	}
	return at + end, end > 0
}

// walk is the leaf at or below node n for what is left of the path from at, or nil, and
// how many variables it has; above n stand variables.
func (s *search) walk(n int32, at, variables int) (*leaf, int) {
	node := &s.trie.nodes[n]
	for _, step := range s.trie.steps[node.way : node.way+int32(node.steps)] {
		end, ok := s.segment(at)
		switch {
		case !ok:
			return nil, 0
		case step.variable:
			s.values[variables] = value{int32(at), int32(end)}
			variables++
		case s.trie.labels[step.label:step.label+uint32(step.length)] != s.path[at:end]:
			return nil, 0
		}
		at = end + 1
	}
	if at > len(s.path) {
		return s.own(node), variables
	}
	if end, ok := s.segment(at); ok {
		if node.branches {
			if c := s.trie.child(n, s.path[at:end]); c != 0 {
				if l, v := s.walk(c, end+1, variables); l != nil {
					return l, v
				}
			}
		}
		if node.variable != 0 {
			s.values[variables] = value{int32(at), int32(end)}
			if l, v := s.walk(node.variable, end+1, variables+1); l != nil {
				return l, v
			}
		}
	}
	if node.greedy > 0 && s.greedy && at < len(s.path) {
		s.values[variables] = value{int32(at), int32(len(s.path))}
		start := node.leaves + int32(max(node.own, 1)) - 1
		return s.pick(nil, s.trie.leaves[start:start+int32(node.greedy)]), variables + 1
	}
	return nil, 0
}

// own is the leaf of the node that serves the method, or nil.
func (s *search) own(n *node) *leaf {
	if n.own == 0 {
		return nil
	}
	return s.pick(&n.first, s.trie.leaves[n.leaves:n.leaves+int32(n.own)-1])
}

// pick is the leaf that serves the method, among first and more: its own, else ANY.
func (s *search) pick(first *leaf, more []leaf) (chosen *leaf) {
	if first != nil && s.serves(first) {
		chosen = first
	}
	for i := range more {
		if chosen != nil && chosen.method == s.method {
			break
		}
		if l := &more[i]; s.serves(l) && (chosen == nil || l.method == s.method) {
			chosen = l
		}
	}
	s.known = s.known || chosen == nil
	return chosen
}

func (s *search) serves(l *leaf) bool {
	return l.method == s.method || s.any && l.method == 0
}
