package wasmgate

// Pairs is a list of names and values of a [Request]; order and duplicates are kept.
// The zero value is empty.
type Pairs struct{ b []byte }

// Pair is a name and a value of a result.
type Pair struct{ Name, Value string }

// Len is the number of pairs.
func (p Pairs) Len() int {
	if p.b == nil {
		return 0
	}
	return int(load32(p.b, 0))
}

// next is the pair that begins at, which is 4 for the first, and where the next begins;
// end is past the last.
func (p Pairs) next(at int) (name, value []byte, next int) {
	v := at + 8 + int(load32(p.b, at))
	next = v + int(load32(p.b, at+4))
	return p.b[at+8 : v], p.b[v:next], next
}

// All is every pair, in order: for name, value := range pairs.All.
func (p Pairs) All(yield func(name, value string) bool) {
	for at := 4; at < len(p.b); {
		var name, value []byte
		if name, value, at = p.next(at); !yield(view(name), view(value)) {
			return
		}
	}
}

// Get is the first value of that name; empty when absent.
func (p Pairs) Get(name string) string {
	v, _ := p.Lookup(name)
	return v
}

// Lookup is the first value of that name; false when absent.
func (p Pairs) Lookup(name string) (value string, found bool) {
	for n, v := range p.All {
		if n == name {
			return v, true
		}
	}
	return "", false
}

// Has tells whether there is a pair of that name.
func (p Pairs) Has(name string) bool {
	_, ok := p.Lookup(name)
	return ok
}

// Values is every value of that name, in order: for v := range r.Headers().Values("via").
func (p Pairs) Values(name string) func(yield func(value string) bool) {
	return func(yield func(string) bool) {
		for n, v := range p.All {
			if n == name && !yield(v) {
				return
			}
		}
	}
}

// join is all values of that name, with comma and blank between. It is one plain loop,
// since this is what guests do most and calls are dear in Go's Wasm.
func (p Pairs) join(name string) (joined string) {
	found := false
	for at := 4; at < len(p.b); {
		start := at + 8 + int(load32(p.b, at))
		end := start + int(load32(p.b, at+4))
		if start-at-8 == len(name) && view(p.b[at+8:start]) == name {
			if found {
				joined += ", " + view(p.b[start:end])
			} else {
				joined, found = view(p.b[start:end]), true
			}
		}
		at = end
	}
	return joined
}
