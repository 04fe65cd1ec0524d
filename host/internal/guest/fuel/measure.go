package fuel

import "fmt"

// Facts are what a module declares, and what its calls can take at most before they are
// counted. Sizes are in bytes.
type Facts struct {
	// Functions are the module's own, Imported those of the host.
	Functions, Imported int
	Globals, Mutable    int
	Tables              []Limits // entries
	Memories            []Limits // pages of 64 KiB
	Segments            int      // of data
	Start               bool     // there is a start function
	Code, Data, Custom  int      // bytes of those sections
	Customs             []Section
	// Frames is an estimate of the native stack of the deepest chain of calls that is not
	// counted; Recursive says that calls can form a cycle, directly or through tables, whose
	// stack is counted.
	Frames    int
	Recursive bool
}

// Limits are of a table or memory; Max is -1 when there is none.
type Limits struct{ Min, Max int64 }

// Section is a custom section.
type Section struct {
	Name  string
	Bytes int
}

// Measure reads a module without changing it. With an error, which is why [Rewrite] refuses
// the module, the facts are those that could be read.
func Measure(wasm []byte) (f Facts, err error) {
	f.sections(wasm)
	m, err := parse(wasm)
	if err != nil {
		return f, fmt.Errorf("rewrite module: %w", err)
	}
	f.Functions, f.Imported = len(m.bodies), m.imports
	f.Globals, f.Mutable, f.Segments, f.Start = m.globals, m.mutable, m.segments, m.start >= 0
	p := newPlan(m, Options{})
	for i := range p.height {
		f.Frames = max(f.Frames, int(p.height[i]))
		for _, g := range p.bodies[i].callees {
			f.Recursive = f.Recursive || p.rank[g] >= p.rank[i]
		}
		f.Recursive = f.Recursive || p.bodies[i].indirect && m.taken != nil
	}
	return f, nil
}

// sections reads sizes, and the limits as the module has them: parse caps those of tables.
func (f *Facts) sections(wasm []byte) {
	for r := (&reader{b: wasm, pos: min(8, len(wasm))}); !r.done(); {
		id := r.byte()
		content := r.bytes(r.count("bytes of section", 1, len(wasm)))
		if r.err != nil {
			return
		}
		c := &reader{b: content}
		switch id {
		case customID:
			f.Custom += len(content)
			if name := c.name(); c.err == nil && len(f.Customs) < maxCustoms {
				f.Customs = append(f.Customs, Section{name, len(content)})
			}
		case tableID:
			for range c.count("tables", 3, maxTables) {
				c.refType()
				f.Tables = append(f.Tables, c.declared())
			}
		case memoryID:
			for range c.count("memories", 2, 1) {
				f.Memories = append(f.Memories, c.declared())
			}
		case codeID:
			f.Code += len(content)
		case dataID:
			f.Data += len(content)
		}
	}
}

// maxCustoms is how many custom sections are listed: three bytes make one.
const maxCustoms = 1 << 10

func (r *reader) declared() Limits {
	flag := r.byte()
	l := Limits{int64(r.u32()), -1}
	if flag&1 != 0 {
		l.Max = int64(r.u32())
	}
	return l
}
