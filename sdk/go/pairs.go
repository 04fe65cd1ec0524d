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
	value, at := p.find(name, 4)
	return value, at > 0
}

// find is the first value of that name from at on, and where the pair after it begins,
// 0 when there is none. It is a plain loop, since this is what guests do most.
func (p Pairs) find(name string, at int) (value string, next int) {
	for at < len(p.b) {
		v := at + 8 + int(load32(p.b, at))
		next = v + int(load32(p.b, at+4))
		if v-at-8 == len(name) && view(p.b[at+8:v]) == name {
			return view(p.b[v:next]), next
		}
		at = next
	}
	return "", 0
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

func (p Pairs) join(name string) string {
	joined, at := p.find(name, 4)
	for at > 0 {
		var more string
		if more, at = p.find(name, at); at > 0 {
			joined += ", " + more
		}
	}
	return joined
}
