package route

import "math"

// layout turns a draft and what is below it into nodes, and gives the first.
func (b *builder) layout(n int32) int32 {
	at := int32(len(b.trie.nodes))
	way, n := b.way(n)
	d := &b.drafts[n]
	made := node{way: way.start, steps: way.steps, branches: d.literal != 0, leaves: int32(len(b.trie.leaves))}
	for i := d.own; i != 0; i = b.leaves[i].before {
		if made.own++; made.own == 1 {
			made.first = b.leaves[i].leaf
		} else {
			b.trie.leaves = append(b.trie.leaves, b.leaves[i].leaf)
		}
	}
	for i := d.greedy; i != 0; i = b.leaves[i].before {
		made.greedy++
		b.trie.leaves = append(b.trie.leaves, b.leaves[i].leaf)
	}
	b.trie.nodes = append(b.trie.nodes, made)
	if d.variable != 0 {
		below := b.layout(d.variable) // before the index: it may move the nodes
		b.trie.nodes[at].variable = below
	}
	for c := d.literal; c != 0; c = b.drafts[c].sibling {
		b.edges = append(b.edges, pending{at, b.layout(c), b.drafts[c].label})
	}
	return at
}

// path is a part of the steps.
type path struct {
	start int32
	steps uint8
}

// way goes from a draft as long as there is one child and nothing else, and gives the
// steps and the draft where it ends.
func (b *builder) way(n int32) (path, int32) {
	var steps []step
	var key []byte
	for len(steps) < math.MaxUint8 {
		d := &b.drafts[n]
		single := d.literal != 0 && b.drafts[d.literal].sibling == 0
		if d.own != 0 || d.greedy != 0 || (d.variable != 0) == single || d.literal != 0 && !single {
			break
		}
		if n = d.variable; single {
			n = d.literal
			label := b.drafts[n].label
			steps = append(steps, step{label: b.offset(label), length: uint16(len(label))})
			key = append(append(key, '/'), label...)
			continue
		}
		steps = append(steps, step{variable: true})
		key = append(key, "/{}"...)
	}
	start, ok := b.ways[string(key)]
	if !ok {
		start = int32(len(b.trie.steps))
		b.trie.steps = append(b.trie.steps, steps...)
		b.ways[string(key)] = start
	}
	return path{start, uint8(len(steps))}, n
}

// finish makes the table of edges.
func (b *builder) finish() trie {
	t := &b.trie
	size := 8
	for size < 2*len(b.edges) {
		size *= 2
	}
	t.edges = make([]edge, size)
	for _, p := range b.edges {
		e := edge{from: p.from, to: p.to, label: b.offset(p.label), length: uint16(len(p.label))}
		copy(e.head[:], p.label)
		i := t.place(p.from, p.label)
		for t.edges[i].to != 0 {
			i = (i + 1) & (size - 1)
		}
		t.edges[i] = e
	}
	t.labels, t.methods, t.names = b.labels.String(), b.methods, b.names
	return *t
}
