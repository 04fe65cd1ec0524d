package document

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host/model"
)

// expander puts the targets of aliases and merge keys in their places, so that readers
// see a plain tree, and checks what YAML leaves open.
type expander struct {
	doc     *Document
	written int // nodes that stand in the file
	visited int // nodes of the tree
	stopped bool
}

// expand tells whether there is a tree to read.
func (d *Document) expand() bool {
	e := &expander{doc: d}
	e.written = count(d.root)
	d.root = e.value(d.root, 0)
	return !e.stopped
}

func count(n *yaml.Node) int {
	sum := 1
	for _, c := range n.Content {
		sum += count(c)
	}
	return sum
}

func (e *expander) problem(n *yaml.Node, got, want string) {
	at := model.Position{File: e.doc.File, Line: n.Line, Column: n.Column}
	e.doc.problems = append(e.doc.problems, Problem{Position: at, Got: got, Want: want})
}

func (e *expander) value(n *yaml.Node, depth int) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if e.stopped {
		return n
	}
	e.visited++
	if e.visited > maxExpansion*e.written {
		e.stopped = true
		e.problem(n, fmt.Sprintf("aliases that make the document more than %d times larger", maxExpansion), "fewer aliases")
		return n
	}
	if depth > maxDepth {
		e.stopped = true // an alias of an ancestor would go on for ever
		e.problem(n, fmt.Sprintf("nesting deeper than %d", maxDepth), "a flatter document")
		return n
	}
	switch n.Kind {
	case yaml.MappingNode:
		e.object(n, depth)
	case yaml.SequenceNode:
		for i := range n.Content {
			n.Content[i] = e.value(n.Content[i], depth+1)
		}
	default:
		switch n.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge":
		default:
			e.problem(n, fmt.Sprintf("the tag %q", n.Tag), "a text, number, true, false or null")
		}
	}
	return n
}

func (e *expander) object(n *yaml.Node, depth int) {
	seen := keySet{}
	var merges []*yaml.Node
	own := n.Content[:0] // never longer than what was read
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], e.value(n.Content[i+1], depth+1)
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			e.problem(key, "a key that is no text", "a text")
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
		default:
			if first := seen.add(key, len(n.Content)); first != nil {
				e.problem(key, fmt.Sprintf("the key %q again", key.Value), fmt.Sprintf("it once (first on line %d)", first.Line))
			}
			own = append(own, key, value)
		}
	}
	for _, m := range merges {
		own = e.merge(own, m, &seen)
	}
	n.Content = own
}

// merge appends the fields of from, an object or a list of objects, that seen has not.
func (e *expander) merge(own []*yaml.Node, from *yaml.Node, seen *keySet) []*yaml.Node {
	sources := []*yaml.Node{from}
	if from.Kind == yaml.SequenceNode {
		sources = from.Content
	}
	for _, s := range sources {
		if s.Kind != yaml.MappingNode {
			e.problem(s, "a merge (<<) of what is no object", "an object or a list of objects")
			continue
		}
		for i := 0; i+1 < len(s.Content); i += 2 {
			if seen.add(s.Content[i], len(own)+len(s.Content)) == nil {
				own = append(own, s.Content[i], s.Content[i+1])
			}
		}
	}
	return own
}

// keySet finds duplicate keys: a list while it is short, since most objects are.
type keySet struct {
	few  []*yaml.Node
	many map[string]*yaml.Node
}

// add returns the earlier key of the same text, nil when key is new.
func (s *keySet) add(key *yaml.Node, room int) *yaml.Node {
	const few = 16
	if s.many == nil && len(s.few) < few {
		if i := slices.IndexFunc(s.few, func(k *yaml.Node) bool { return k.Value == key.Value }); i >= 0 {
			return s.few[i]
		}
		s.few = append(s.few, key)
		return nil
	}
	if s.many == nil {
		s.many = make(map[string]*yaml.Node, room/2)
		for _, k := range s.few {
			s.many[k.Value] = k
		}
	}
	if first := s.many[key.Value]; first != nil {
		return first
	}
	s.many[key.Value] = key
	return nil
}
