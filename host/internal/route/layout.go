package route

import "math"

// layout puts a draft, and what is below it, into nodes, and gives the first.
func (b *builder) layout(n int32) int32 {
	at := b.room(1)
	b.node(at, n, "")
	return at
}

// room is the first of some more places for nodes.
func (b *builder) room(places int32) int32 {
	at := int32(len(b.trie.nodes))
	b.trie.nodes = append(b.trie.nodes, make([]node, places)...)
	b.trie.tags = append(b.trie.tags, make([]uint8, places)...)
	return at
}

// node puts a draft at a place, to which a literal leads, or none.
func (b *builder) node(at, n int32, literal string) {
	made := node{first: missing}
	_, _, made.start = b.trie.seed.scan(literal, 0)
	made.length = uint8(min(8, len(literal)))
	made.length += uint8(copy(made.next[:], literal[made.length:]))
	way, n := b.way(literal[made.length:], n)
	made.text, made.rest = b.text(way), uint16(len(way))
	d := b.drafts[n]
	var leaves []int32
	for i := d.own; i != 0; i = b.leaves[i].before {
		if made.own++; made.own == 1 {
			made.first = b.leaves[i].leaf
		} else {
			leaves = append(leaves, b.leaves[i].route, b.leaves[i].names)
		}
	}
	greedy := int32(0)
	for i := d.greedy; i != 0; i = b.leaves[i].before {
		greedy++
		leaves = append(leaves, b.leaves[i].route, b.leaves[i].names)
	}
	if d.literal != 0 || d.variable != 0 || len(leaves) > 0 {
		made.more = int32(len(b.trie.more))
		b.trie.more = append(append(b.trie.more, 0, 0, 0, greedy), leaves...)
	}
	b.trie.nodes[at] = made
	if d.variable != 0 {
		variable := b.room(1)
		b.trie.more[made.more+2] = variable
		b.node(variable, d.variable, "")
	}
	if d.literal != 0 {
		b.trie.more[made.more], b.trie.more[made.more+1] = b.literals(d.literal)
	}
}

// literals puts a draft and its siblings into a hash table, a fifth of which stays empty.
func (b *builder) literals(last int32) (first, places int32) {
	for c := last; c != 0; c = b.drafts[c].sibling {
		places++
	}
	places += places/4 + 1
	first = b.room(places)
	for c := last; c != 0; c = b.drafts[c].sibling {
		_, hash, _ := b.trie.seed.scan(b.drafts[c].label, 0)
		i, tag := place(hash, places)
		for b.trie.tags[first+i] != 0 {
			i = (i + 1) % places
		}
		b.trie.tags[first+i] = tag
		b.node(first+i, c, b.drafts[c].label)
	}
	return first, places
}

// way goes on from a draft as long as there is one child and nothing else, and gives the
// longer way and the draft where it ends.
func (b *builder) way(way string, n int32) (string, int32) {
	for !b.drafts[n].host {
		d := &b.drafts[n]
		single := d.literal != 0 && b.drafts[d.literal].sibling == 0
		if d.own != 0 || d.greedy != 0 || (d.variable != 0) == single || d.literal != 0 && !single {
			break
		}
		next, more := d.variable, "/{"
		if single {
			next, more = d.literal, "/"+b.drafts[d.literal].label
		}
		if len(way)+len(more) > math.MaxUint16 {
			break
		}
		n, way = next, way+more
	}
	return way, n
}
