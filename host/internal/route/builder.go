package route

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// builder grows the trie.
type builder struct {
	api      string
	rest     bool
	drafts   []draft
	children map[branch]int32
	leaves   []link
	methods  []string
	names    []string
	lists    map[string]int32 // where a list of names stands
	texts    strings.Builder
	offsets  map[string]uint32 // of the texts
	problems []error
	trie     trie
}

// draft is a resource that still grows. Numbers are 0 for none.
type draft struct {
	label       string // the literal, or the variable's name, that leads here
	greedyName  string // of the {proxy+} below it: one in a REST API
	literal     int32  // its last literal child, whose siblings are the others
	sibling     int32
	variable    int32
	own, greedy int32 // its last leaf
	host        bool  // it is a base path, which every segment asks for
}

// link is a leaf with the one before it.
type link struct {
	leaf
	before int32
}

// branch is a literal below a draft.
type branch struct {
	from  int32
	label string
}

// newBuilder is ready for that many segments.
func newBuilder(segments int) *builder {
	return &builder{drafts: make([]draft, 1, segments+1), children: make(map[branch]int32, segments/2), leaves: make([]link, 1),
		methods: methods(), lists: map[string]int32{}, offsets: map[string]uint32{},
		trie: trie{nodes: make([]node, 1), tags: make([]uint8, 1), more: make([]int32, 1), seed: newSeed()}}
}

func (b *builder) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(b.api+": "+format, args...))
}

// draft makes an empty one.
func (b *builder) draft(label string) int32 {
	b.drafts = append(b.drafts, draft{label: label})
	return int32(len(b.drafts) - 1)
}

// base makes a draft part of a base path, and gives it.
func (b *builder) base(n int32) int32 {
	b.drafts[n].host = true
	return n
}

// route adds one route below n.
func (b *builder) route(n int32, method, path string, index int32) {
	segments, err := model.ParsePath(path)
	if err != nil {
		b.problem("%s %s: %w", method, path, err)
	}
	var names [MaxParams]string
	count, greedy := 0, false
	for _, s := range segments {
		if s.Kind == model.Literal {
			n = b.literal(n, s.Text)
			continue
		}
		if count == MaxParams {
			b.problem("%s %s: more than %d variables", method, path, MaxParams)
			return
		}
		names[count] = s.Text
		count++
		beside := &b.drafts[n].greedyName
		if greedy = s.Kind == model.Greedy; !greedy {
			if b.drafts[n].variable == 0 {
				next := b.draft(s.Text) // before the index: it may move the drafts
				b.drafts[n].variable = next
			}
			n = b.drafts[n].variable
			beside = &b.drafts[n].label
		}
		if b.rest && *beside != "" && *beside != s.Text {
			b.problem("%s %s: the variable %q beside %q", method, path, s.Text, *beside)
		}
		*beside = s.Text
	}
	last := &b.drafts[n].own
	if greedy {
		last = &b.drafts[n].greedy
	}
	number := b.method(method)
	for i := *last; i != 0; i = b.leaves[i].before {
		if b.leaves[i].method() == number {
			b.problem("%s %s: it is there already", method, path)
		}
	}
	b.leaves = append(b.leaves, link{leaf{index, b.list(names[:count])<<8 | int32(number)}, *last})
	*last = int32(len(b.leaves) - 1)
}

// literal is the child of n over a literal.
func (b *builder) literal(n int32, label string) int32 {
	child, ok := b.children[branch{n, label}]
	if !ok {
		if len(label) > math.MaxUint16 {
			b.problem("a segment of %d bytes, want at most %d", len(label), math.MaxUint16)
		}
		child = b.draft(label)
		b.children[branch{n, label}] = child
		b.drafts[child].sibling, b.drafts[n].literal = b.drafts[n].literal, child
	}
	return child
}

// method is the number of a method.
func (b *builder) method(name string) uint8 {
	i := slices.Index(b.methods, name)
	if i < 0 {
		if i = len(b.methods); i == unknown {
			b.problem("more than %d methods", unknown-1)
			return 0
		}
		b.methods = append(b.methods, name)
	}
	return uint8(i)
}

// list is where the names stand.
func (b *builder) list(names []string) int32 {
	key := strings.Join(names, "/")
	start, ok := b.lists[key]
	if !ok {
		if start = int32(len(b.names)); start > math.MaxInt32>>8 {
			b.problem("more than %d names of variables", math.MaxInt32>>8)
		}
		b.names = append(b.names, names...)
		b.lists[key] = start
	}
	return start
}

// text is where a text stands.
func (b *builder) text(s string) uint32 {
	at, ok := b.offsets[s]
	if !ok {
		at = uint32(b.texts.Len())
		b.texts.WriteString(s)
		b.offsets[s] = at
	}
	return at
}

// finish gives the trie.
func (b *builder) finish() trie {
	t := b.trie
	t.nodes, t.tags, t.more = slices.Clone(t.nodes), slices.Clone(t.tags), slices.Clone(t.more)
	t.texts, t.methods, t.names = b.texts.String(), b.methods, b.names
	return t
}
