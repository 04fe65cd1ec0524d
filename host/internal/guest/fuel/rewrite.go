package fuel

import (
	"fmt"
	"strconv"
)

// The exports that a rewritten module gets.
const (
	// Global is the mutable i64 global that holds the fuel left; negative after a trap says
	// that it ran out. It is 0 after instantiation.
	Global = reservedPrefix + "fuel"
	// StackGlobal is the mutable i32 global that holds the bytes of native stack left;
	// negative after a trap says that they ran out. It is 0 after instantiation.
	StackGlobal = reservedPrefix + "stack"
	// Start is the function that was the module's start function; to be called once before
	// all others. It is absent when there was none.
	Start = reservedPrefix + "start"
	// Changed is a mutable i32 global that is not 0 after code has changed a table, dropped
	// a segment, or set a global of vectors or references: no host can take that back. It is
	// absent when the module has no such code.
	Changed = reservedPrefix + "changed"

	global = reservedPrefix + "global."
)

// State is the name of the export of the module's nth mutable global of numbers, from 0 on.
// Those and linear memory are all that code can change without marking [Changed].
func State(n int) string { return global + strconv.Itoa(n) }

// changed is the index of the global behind [Changed].
func (m *module) changed() uint32 { return uint32(m.globals + 2 + len(m.refs)) }

// Options change how modules are rewritten. The zero value is right for a gateway.
type Options struct {
	// Exact charges each instruction exactly when it is executed, at a greater cost.
	Exact bool
}

// Rewrite returns the module with fuel and stack accounted for, as the package describes.
// It keeps no reference to the module. It is deterministic: same module and options, same
// bytes. Its errors say what was refused and where.
func Rewrite(wasm []byte, o Options) ([]byte, error) {
	m, err := parse(wasm)
	if err != nil {
		return nil, fmt.Errorf("rewrite module: %w", err)
	}
	if len(m.refs) > maxReferences {
		return nil, fmt.Errorf("rewrite module: ref.func on %d functions, want at most %d", len(m.refs), maxReferences)
	}
	code, err := newPlan(m, o).rewrite()
	if err != nil {
		return nil, fmt.Errorf("rewrite module: %w", err)
	}
	if len(m.bodies) > 0 {
		m.sections[codeID] = code
	}
	m.addTypes()
	m.addGlobals()
	m.addExports()
	m.sections[startID] = nil
	out := make([]byte, 0, len(code)+len(wasm))
	out = append(out, wasm[:8]...)
	for _, id := range sectionOrder {
		if content := m.sections[id]; content != nil {
			out = appendSection(out, id, content)
		}
	}
	if m.names != nil {
		names := appendSection(appendName(nil, "name"), 1, m.names)
		out = appendSection(out, customID, names)
	}
	return out, nil
}

// CustomSection is the content of the first custom section of that name; false when there
// is none or the module is malformed before it.
func CustomSection(wasm []byte, name string) ([]byte, bool) {
	r := &reader{b: wasm, pos: min(8, len(wasm))}
	for !r.done() {
		id := r.byte()
		content := r.bytes(r.count("bytes of section", 1, len(wasm)))
		if id != customID || r.err != nil {
			continue
		}
		if c := (&reader{b: content}); c.name() == name && c.err == nil {
			return content[c.pos:], true
		}
	}
	return nil, false
}

// grown is a section's vector with n entries more, which the caller appends.
func grown(content []byte, n int) []byte {
	if content == nil {
		return appendU32(nil, uint32(n))
	}
	r := &reader{b: content}
	count := r.u32()
	return append(appendU32(nil, count+uint32(n)), content[r.pos:]...)
}

func (m *module) addTypes() {
	if added := m.types[m.declared:]; len(added) > 0 {
		t := grown(m.sections[typeID], len(added))
		for _, s := range added {
			t = append(append(t, 0x60, 0, byte(len(s.results))), s.results...)
		}
		m.sections[typeID] = t
	}
}

func (m *module) addGlobals() {
	n := 2 + len(m.refs)
	if m.marks {
		n++
	}
	g := grown(m.sections[globalID], n)
	g = append(g, 0x7e, 1, 0x42, 0, 0x0b) // i64 mutable, i64.const 0
	g = append(g, 0x7f, 1, 0x41, 0, 0x0b) // i32 mutable, i32.const 0
	byGlobal := make([]int, len(m.refs))
	for f, i := range m.refs {
		byGlobal[i-m.globals-2] = f
	}
	for _, f := range byGlobal {
		g = append(g, 0x70, 0, 0xd2) // funcref, ref.func
		g = append(appendU32(g, uint32(f)), 0x0b)
	}
	if m.marks {
		g = append(g, 0x7f, 1, 0x41, 0, 0x0b)
	}
	m.sections[globalID] = g
}

func (m *module) addExports() {
	n := 2 + len(m.numbers)
	if m.start >= 0 {
		n++
	}
	if m.marks {
		n++
	}
	e := grown(m.sections[exportID], n)
	e = appendU32(append(appendName(e, Global), 3), uint32(m.globals))
	e = appendU32(append(appendName(e, StackGlobal), 3), uint32(m.globals+1))
	for i, g := range m.numbers {
		e = appendU32(append(appendName(e, State(i)), 3), uint32(g))
	}
	if m.marks {
		e = appendU32(append(appendName(e, Changed), 3), m.changed())
	}
	if m.start >= 0 {
		e = appendU32(append(appendName(e, Start), 0), uint32(m.start))
	}
	m.sections[exportID] = e
}

// rewrite plans and writes all functions, callees first, and joins them in their order.
func (p *plan) rewrite() ([]byte, error) {
	bodies := make([][]byte, len(p.bodies))
	var events []event
	var labels []label
	total := 0
	p.locals, p.targets = 0, 0 // bodies are scanned again, to keep the events of one only
	for _, f := range p.order {
		var err error
		if events, err = p.scan(int(f), events[:0]); err != nil {
			return nil, err
		}
		p.current = p.bodies[f].code
		var entry uint32
		entry, labels = p.charge(events, labels)
		if p.charges[f] = p.charges[f] || entry > p.calleePays; !p.charges[f] {
			p.entry[f] = entry
		}
		bodies[f] = p.write(f, entry, events)
		total += len(bodies[f]) + 5
	}
	out := appendU32(make([]byte, 0, total+5), uint32(len(bodies)))
	for _, b := range bodies {
		out = append(appendU32(out, uint32(len(b))), b...)
	}
	return out, nil
}
