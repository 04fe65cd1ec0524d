package route

// trie is the resources of all APIs, a tree for each, and the base paths of all hosts,
// laid out for few cache misses: a lookup in a large table is waiting for memory, and
// little else. The literals below a node are an open hash table of nodes. A byte of each
// one's hash stands apart in tags, all of which stay in the cache: so a literal that is not
// there touches hardly a node, and one that is touches one, in one cache line. Resources that
// serve nothing and do not branch are no nodes but text on the way to the next.
type trie struct {
	nodes   []node
	tags    []uint8 // by node; 0 is an empty place
	more    []int32 // what few nodes have: see fork
	texts   string  // each once
	methods []string
	names   []string // of the variables: those of a path together, each such list once
	seed    seed
}

// node is a resource that serves something or where paths part, with the way to it: a
// literal, or none, and what needs no choice after it. Two fill a cache line.
type node struct {
	start  uint64  // of the literal, without the slash: as scan gives it
	next   [4]byte // what follows that
	length uint8   // of both together
	own    uint8   // how many methods it serves
	rest   uint16  // length of the text: the rest of the literal, then
	text   uint32  // segments with their slashes, a variable as {, which is in no literal
	first  leaf
	more   int32 // its fork, 0 for none
}

// leaf is one method of a resource.
type leaf struct {
	route int32
	names int32 // shifted by a byte, which is the method
}

func (l leaf) method() uint8 { return uint8(l.names) }

// fork is four numbers in more, and then two for each leaf but the node's first: the
// others that it serves, then the {proxy+} below it.
type fork []int32

func (f fork) literals() (first, places int32) { return f[0], f[1] } // the hash table
func (f fork) variable() int32                 { return f[2] }       // 0 for none
func (f fork) greedy() int32                   { return f[3] }       // how many

const forkSize = 4

// leaves is the leaves of n's fork from one to another, two numbers each.
func (t *trie) leaves(n *node, from, to int32) []int32 {
	start := n.more + forkSize
	return t.more[start+2*from : start+2*to]
}

// place is where a hash belongs among places, and its tag.
func place(hash uint64, places int32) (at int32, tag uint8) {
	return int32(hash >> 32 * uint64(places) >> 32), max(uint8(hash), 1)
}

// missing is the leaf that is not there.
var missing = leaf{route: none}

// search is one walk.
type search struct {
	trie   *trie
	path   string // starts with a slash, has none at its end
	method uint8
	any    bool // ANY serves the method
	greedy bool // {proxy+} is tried
	known  bool // a resource was met that does not serve the method

	n      int              // how many variables are on the way
	values [MaxParams]value // of them
}

// value is a part of the path.
type value struct{ start, end int32 }

// The numbers of methods: ANY, those that a REST API's ANY stands for, any others, and
// one that no route names.
const (
	anyMethod = 0
	lastInANY = 7
	unknown   = 255
)

func methods() []string {
	return []string{"ANY", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"}
}

// number is the number of a method.
func (t *trie) number(method string) uint8 {
	for i, known := range t.methods[1:] {
		if known == method {
			return uint8(i + 1)
		}
	}
	return unknown
}

// walk is the leaf at or below node n for the path from at, where n's head ends, or missing.
func (s *search) walk(n *node, at int) leaf {
	t := s.trie
	if at = s.follow(t.texts[n.text:n.text+uint32(n.rest)], at); at < 0 {
		return missing
	}
	if at == len(s.path) {
		if n.own == 0 {
			return missing
		}
		if n.own == 1 {
			return s.pick(n.first, nil)
		}
		return s.pick(n.first, t.leaves(n, 0, int32(n.own)-1))
	}
	if n.more == 0 {
		return missing
	}
	f, variables := fork(t.more[n.more:n.more+forkSize]), s.n
	if end, hash, start := t.seed.scan(s.path, at+1); end > at+1 {
		if first, places := f.literals(); places > 0 {
			if l := s.literal(first, places, hash, start, at+1); l != missing {
				return l
			}
		}
		if v := f.variable(); v != 0 {
			s.values[s.n] = value{int32(at) + 1, int32(end)}
			s.n++
			if l := s.walk(&t.nodes[v], end); l != missing {
				return l
			}
			s.n = variables
		}
	}
	if f.greedy() > 0 && s.greedy && at+1 < len(s.path) {
		s.values[s.n] = value{int32(at) + 1, int32(len(s.path))}
		s.n++
		others := max(int32(n.own), 1) - 1
		return s.pick(missing, t.leaves(n, others, others+f.greedy()))
	}
	return missing
}

// literal is the leaf below a literal that is at at in the path, among those of a hash
// table.
func (s *search) literal(first, places int32, hash, start uint64, at int) leaf {
	t, variables := s.trie, s.n
	i, tag := place(hash, places)
	for tags := t.tags[first : first+places]; tags[i] != 0; {
		if tags[i] == tag {
			if n := &t.nodes[first+i]; n.starts(start, s.path[at:]) {
				if l := s.walk(n, at+int(n.length)); l != missing {
					return l
				}
				s.n = variables
			}
		}
		if i++; i == places {
			i = 0
		}
	}
	return missing
}

// starts tells whether the path starts with what the node holds of its literal, whose
// first eight bytes are start. What comes after that, follow compares.
func (n *node) starts(start uint64, path string) bool {
	return n.start == start && (n.length <= 8 || len(path) >= int(n.length) && string(n.next[:n.length-8]) == path[8:n.length])
}

// follow goes a way, and gives the slash or the end of the path where it leads, or -1.
func (s *search) follow(way string, at int) int {
	path := s.path
	for i := range len(way) {
		if way[i] != '{' {
			if at >= len(path) || path[at] != way[i] {
				return -1
			}
			at++
			continue
		}
		end, _, _ := s.trie.seed.scan(path, at)
		if end == at {
			return -1
		}
		s.values[s.n] = value{int32(at), int32(end)}
		s.n++
		at = end
	}
	if at < len(path) && path[at] != '/' {
		return -1
	}
	return at
}

// pick is the leaf that serves the method, among first and more: its own, else ANY.
func (s *search) pick(first leaf, more []int32) leaf {
	chosen := missing
	if first != missing && s.serves(first) {
		chosen = first
	}
	for i := 0; i < len(more); i += 2 {
		l := leaf{more[i], more[i+1]}
		if s.serves(l) && (chosen == missing || l.method() == s.method) {
			chosen = l
		}
	}
	s.known = s.known || chosen == missing
	return chosen
}

func (s *search) serves(l leaf) bool {
	return l.method() == s.method || s.any && l.method() == anyMethod
}

// mount is the API with the longest prefix of whole segments below a host's node, or
// none, and its length.
func (t *trie) mount(n int32, target string) (api int32, length int) {
	at := &t.nodes[n]
	api = at.first.route
	for end := 0; at.more != 0 && end < len(target); {
		next, hash, start := t.seed.scan(target, end+1)
		literal := target[end+1 : next]
		end = next
		if at = t.child(at, literal, hash, start); at == nil {
			break
		}
		if at.first != missing {
			api, length = at.first.route, end
		}
	}
	return api, length
}

// child is the node at the end of a literal below n, or nil.
func (t *trie) child(n *node, literal string, hash, start uint64) *node {
	first, places := fork(t.more[n.more : n.more+forkSize]).literals()
	i, tag := place(hash, places)
	for tags := t.tags[first : first+places]; tags[i] != 0; {
		if tags[i] == tag {
			c := &t.nodes[first+i]
			if c.starts(start, literal) && len(literal) >= int(c.length) && t.texts[c.text:c.text+uint32(c.rest)] == literal[c.length:] {
				return c
			}
		}
		if i++; i == places {
			i = 0
		}
	}
	return nil
}
