package fuel

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The ids of sections, and the order in which they must stand.
const (
	customID = iota
	typeID
	importID
	functionID
	tableID
	memoryID
	globalID
	exportID
	startID
	elementID
	codeID
	dataID
	dataCountID
)

var sectionOrder = [...]byte{typeID, importID, functionID, tableID, memoryID, globalID, exportID, startID, elementID, dataCountID, codeID, dataID}

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}

type signature struct {
	params  int
	results string
}

// module is what rewriting must know of a module. Function indices count imports first.
type module struct {
	sections  [dataCountID + 1][]byte
	names     []byte // function names, the content of subsection 1
	types     []signature
	declared  int   // how many of them the module itself declares
	functions []int // type index of each function
	imports   int   // how many of them are imported
	tables    int
	memories  int
	globals   int
	mutable   int    // globals
	numbers   []int  // indices of the mutable globals of numbers
	opaque    []bool // by global index: mutable, and of a type that the host cannot read and set
	marks     bool   // some code marks
	start     int    // -1 is none
	exports   map[string]bool
	exported  []bool // by function index
	taken     []bool // by function index: can be called through a table
	segments  int
	dataCount int // -1 when not declared
	locals    int // of all functions
	targets   int // of all br_tables
	time      int // to compile, in nanoseconds
	bodies    []body
	refs      map[int]int // ref.func in code: function to global
}

func parse(wasm []byte) (*module, error) {
	if !bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, errors.New("not a WebAssembly 1 module: bad magic or version")
	}
	m := &module{start: -1, dataCount: -1, exports: map[string]bool{}, refs: map[int]int{}}
	r := &reader{b: wasm, pos: 8}
	rank := -1
	for !r.done() {
		id := r.byte()
		content := r.bytes(r.count("bytes of section", 1, len(wasm)))
		if r.err != nil {
			break
		}
		if id == customID {
			m.custom(content)
			continue
		}
		at := bytes.IndexByte(sectionOrder[:], id)
		if at < 0 || at <= rank {
			r.fail("section id %d is unknown, repeated or out of order", id)
			break
		}
		rank = at
		if err := m.section(id, content); err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionNames[id], err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, m.check()
}

func (m *module) section(id byte, content []byte) error {
	r := &reader{b: content}
	m.sections[id] = content
	switch id {
	case typeID:
		m.readTypes(r)
	case importID:
		m.readImports(r)
	case functionID:
		for range r.count("functions", 1, maxFunctions) {
			m.functions = append(m.functions, r.index("type", m.declared))
		}
	case tableID:
		m.readTables(r)
	case memoryID:
		m.readMemories(r)
	case globalID:
		m.readGlobals(r)
	case exportID:
		m.readExports(r)
	case startID:
		m.start = r.index("function", len(m.functions))
	case elementID:
		m.readElements(r)
	case dataCountID:
		m.dataCount = r.count("data segments", 0, maxSegments)
	case codeID:
		return m.readCode(r)
	case dataID:
		m.readData(r)
	}
	if r.err == nil && r.pos != len(content) {
		r.fail("%d bytes after the end", len(content)-r.pos)
	}
	return r.err
}

// check is what holds between sections.
func (m *module) check() error {
	if defined := len(m.functions) - m.imports; len(m.bodies) != defined {
		return fmt.Errorf("%d function bodies, want %d", len(m.bodies), defined)
	}
	if m.dataCount >= 0 && m.dataCount != m.segments {
		return fmt.Errorf("%d data segments, want %d", m.segments, m.dataCount)
	}
	if m.start >= 0 {
		if s := m.types[m.functions[m.start]]; s.params+len(s.results) > 0 {
			return fmt.Errorf("start function has %d parameters and %d results, want none", s.params, len(s.results))
		}
	}
	return nil
}

// custom keeps the function names, for traps to tell where. A malformed custom section
// does not make a module invalid: it is dropped like the others, and so are names of a
// length that would make each trap costly.
func (m *module) custom(content []byte) {
	r := &reader{b: content}
	if r.name() != "name" || r.err != nil {
		return
	}
	for !r.done() {
		id := r.byte()
		sub := r.bytes(r.count("bytes of subsection", 1, len(content)))
		if id != 1 || r.err != nil {
			continue
		}
		n := &reader{b: sub}
		last := -1
		for range n.count("names", 2, maxFunctions) {
			if i := int(n.u32()); i <= last {
				return
			} else {
				last = i
			}
			if len(n.name()) > maxNameBytes {
				return
			}
		}
		if n.err == nil && n.pos == len(sub) {
			m.names = sub
		}
	}
}

func (r *reader) valueType() {
	switch t := r.byte(); t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		r.fail("unknown value type %#x", t)
	}
}

func (r *reader) refType() {
	if t := r.byte(); t != 0x70 && t != 0x6f {
		r.fail("unknown reference type %#x", t)
	}
}

func (m *module) readTypes(r *reader) {
	for range r.count("types", 3, maxTypes) {
		if form := r.byte(); form != 0x60 {
			r.fail("unknown type form %#x", form)
			return
		}
		var s signature
		s.params = r.count("parameters", 1, maxParams)
		for range s.params {
			r.valueType()
		}
		n := r.count("results", 1, maxResults)
		from := r.pos
		for range n {
			r.valueType()
		}
		s.results = string(r.b[from:r.pos])
		m.types = append(m.types, s)
	}
	m.declared = len(m.types)
}

// blockType is the type of a block with the results of a function type. Results of more
// than one value need a type of their own, which may have to be added.
func (m *module) blockType(typ int) []byte {
	results := m.types[typ].results
	switch len(results) {
	case 0:
		return []byte{0x40}
	case 1:
		return []byte(results)
	}
	want := signature{0, results}
	i := slices.Index(m.types, want)
	if i < 0 {
		i = len(m.types)
		m.types = append(m.types, want)
	}
	return appendSigned(nil, int64(i))
}

func (m *module) readImports(r *reader) {
	kinds := [...]string{"function", "table", "memory", "global", "tag"}
	for range r.count("imports", 4, maxImports) {
		mod, name := r.name(), r.name()
		switch kind := r.byte(); {
		case r.err != nil:
			return
		case kind == 0:
			m.functions = append(m.functions, r.index("type", m.declared))
			m.imports++
		case int(kind) < len(kinds):
			r.fail("import %q %q is a %s, want only functions", mod, name, kinds[kind])
		default:
			r.fail("import %q %q: unknown kind %#x", mod, name, kind)
		}
	}
}

// readTables also rebuilds the section with a maximum in each table, which bounds table.grow:
// its memory is outside the limit on linear memory.
func (m *module) readTables(r *reader) {
	m.tables = r.count("tables", 3, maxTables)
	out := appendU32(nil, uint32(m.tables))
	for range m.tables {
		kind := r.b[min(r.pos, len(r.b)-1)]
		r.refType()
		least, most := r.limits("table size", maxTableSize)
		out = append(out, kind, 1)
		out = appendU32(appendU32(out, least), min(most, maxTableSize))
	}
	m.sections[tableID] = out
}

func (r *reader) limits(what string, limit uint32) (least, most uint32) {
	flag := r.byte()
	if flag > 1 {
		r.fail("unsupported limits %#x: neither shared nor 64-bit", flag)
	}
	least, most = r.u32(), ^uint32(0)
	if flag == 1 {
		most = r.u32()
	}
	if least > limit || least > most {
		r.fail("%s %d, want at most %d", what, least, min(limit, most))
	}
	return least, most
}

func (m *module) readMemories(r *reader) {
	m.memories = r.count("memories", 2, 1)
	for range m.memories {
		r.limits("memory pages", 1<<16)
	}
}

func (m *module) readGlobals(r *reader) {
	m.globals = r.count("globals", 4, maxGlobals)
	m.opaque = make([]bool, m.globals)
	for i := range m.globals {
		kind := r.b[min(r.pos, len(r.b)-1)]
		r.valueType()
		switch r.byte() {
		case 0:
		case 1:
			m.mutable++
			if m.opaque[i] = kind < 0x7c; !m.opaque[i] { // i32, i64, f32, f64
				m.numbers = append(m.numbers, i)
			}
		default:
			r.fail("bad mutability of a global")
		}
		m.constant(r)
	}
}

// constant reads a constant expression: one instruction and end. global.get may only read
// imported globals there, and there are none.
func (m *module) constant(r *reader) {
	switch op := r.byte(); op {
	case 0x41:
		r.signed(32)
	case 0x42:
		r.signed(64)
	case 0x43:
		r.bytes(4)
	case 0x44:
		r.bytes(8)
	case 0xd0:
		r.refType()
	case 0xd2:
		m.take(r.index("function", len(m.functions)))
	case 0xfd:
		if sub := r.byte(); sub != 12 {
			r.fail("opcode 0xfd %d in a constant expression", sub)
		}
		r.bytes(16)
	default:
		r.fail("opcode %#x in a constant expression", op)
	}
	if r.byte() != 0x0b {
		r.fail("constant expression is longer than one instruction")
	}
}

// take marks a function as callable through tables.
func (m *module) take(f int) {
	if m.taken == nil {
		m.taken = make([]bool, len(m.functions))
	}
	if f < len(m.taken) {
		m.taken[f] = true
	}
}

func (m *module) readExports(r *reader) {
	m.exported = make([]bool, len(m.functions))
	spaces := [...]int{len(m.functions), m.tables, m.memories, m.globals}
	for range r.count("exports", 3, maxExports) {
		name := r.name()
		kind := r.byte()
		if int(kind) >= len(spaces) {
			r.fail("export %q: unknown kind %#x", name, kind)
			return
		}
		i := r.index("export", spaces[kind])
		if r.err != nil {
			return
		}
		if strings.HasPrefix(name, reservedPrefix) {
			r.fail("export %q: names that begin with %q are reserved", name, reservedPrefix)
		}
		if m.exports[name] {
			r.fail("export %q stands twice", name)
		}
		m.exports[name] = true
		if kind == 0 {
			m.exported[i] = true
		}
	}
}

func (m *module) readElements(r *reader) {
	total := 0
	for range r.count("element segments", 3, maxSegments) {
		flags := r.u32()
		if flags > 7 {
			r.fail("unknown element segment kind %d", flags)
			return
		}
		active, explicit, expressions := flags&1 == 0, flags&2 != 0, flags&4 != 0
		if active && explicit {
			r.index("table", m.tables)
		}
		if active {
			m.constant(r)
		}
		switch {
		case flags&3 == 0: // no kind: functions
		case expressions:
			r.refType()
		default:
			if kind := r.byte(); kind != 0 {
				r.fail("unknown element kind %#x", kind)
			}
		}
		n := r.count("elements", 1, maxElements-total)
		total += n
		for range n {
			if expressions {
				m.constant(r)
			} else {
				m.take(r.index("function", len(m.functions)))
			}
			if r.err != nil {
				return
			}
		}
	}
}

func (m *module) readData(r *reader) {
	m.segments = r.count("data segments", 2, maxSegments)
	for range m.segments {
		flags := r.u32()
		if flags > 2 {
			r.fail("unknown data segment kind %d", flags)
			return
		}
		if flags == 2 {
			r.index("memory", m.memories)
		}
		if flags != 1 {
			m.constant(r)
		}
		r.bytes(r.count("bytes of data", 1, len(r.b)))
	}
}
