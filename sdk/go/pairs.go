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
	return int(little.Uint32(p.b))
}

// All is every pair, in order: for name, value := range pairs.All.
func (p Pairs) All(yield func(name, value string) bool) {
	if p.b == nil {
		return
	}
	rest := p.b[4:]
	for range p.Len() {
		n, v := uint64(little.Uint32(rest)), uint64(little.Uint32(rest[4:]))
		name, value := rest[8:8+n], rest[8+n:8+n+v]
		if !yield(view(name), view(value)) {
			return
		}
		rest = rest[8+n+v:]
	}
	if len(rest) != 0 {
		panic("wasmgate: request field with bytes after its last pair")
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

func (p Pairs) join(name string) string {
	joined, found := "", false
	for n, v := range p.All {
		switch {
		case n != name:
		case found:
			joined += ", " + v
		default:
			joined, found = v, true
		}
	}
	return joined
}
