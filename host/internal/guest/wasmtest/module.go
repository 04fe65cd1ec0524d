package wasmtest

// Value types.
const (
	I32     byte = 0x7f
	I64     byte = 0x7e
	F32     byte = 0x7d
	F64     byte = 0x7c
	V128    byte = 0x7b
	Funcref byte = 0x70
)

// Type is a function type.
type Type struct{ Params, Results []byte }

// Sig is a function type: parameters, then results.
func Sig(params, results []byte) Type { return Type{params, results} }

// T is a list of value types.
func T(types ...byte) []byte { return types }

type imported struct {
	module, name string
	kind         byte
	desc         []byte
}

type function struct {
	typ    int
	locals []byte
	code   []byte
	raw    bool // code is the whole body
}

type export struct {
	name  string
	kind  byte
	index int
}

// Module is a module in the making; the zero value is empty. Import before the first Func.
type Module struct {
	// Start is the index of the start function plus one; 0 is none.
	Start int
	// Tables are tables of funcref: least and most entries; most < 0 is none.
	Tables [][2]int
	// Memories are linear memories in pages: least and most; most < 0 is none.
	Memories [][2]int
	// DataCount writes that section.
	DataCount bool

	types    []Type
	imports  []imported
	nimports int
	funcs    []function
	globals  [][]byte
	exports  []export
	elements [][]byte
	data     [][]byte
	customs  [][]byte
}

// Type is the index of a function type.
func (m *Module) Type(t Type) int {
	for i, o := range m.types {
		if string(o.Params) == string(t.Params) && string(o.Results) == string(t.Results) {
			return i
		}
	}
	m.types = append(m.types, t)
	return len(m.types) - 1
}

// Import imports a function and gives its index.
func (m *Module) Import(module, name string, t Type) int {
	m.imports = append(m.imports, imported{module, name, 0, U(uint64(m.Type(t)))})
	m.nimports++
	return m.nimports - 1
}

// ImportRaw imports anything by kind and description.
func (m *Module) ImportRaw(module, name string, kind byte, desc ...byte) {
	m.imports = append(m.imports, imported{module, name, kind, desc})
}

// Func adds a function without its last end, and gives its index.
func (m *Module) Func(t Type, locals []byte, code ...[]byte) int {
	m.funcs = append(m.funcs, function{typ: m.Type(t), locals: locals, code: Cat(code...)})
	return m.nimports + len(m.funcs) - 1
}

// FuncRaw adds a function with its declarations of locals and its last end as they stand.
func (m *Module) FuncRaw(t Type, body []byte) int {
	m.funcs = append(m.funcs, function{typ: m.Type(t), code: body, raw: true})
	return m.nimports + len(m.funcs) - 1
}

// AddType adds a function type, be it there or not.
func (m *Module) AddType(t Type) { m.types = append(m.types, t) }

// Next is the index that the next Func will give.
func (m *Module) Next() int { return m.nimports + len(m.funcs) }

// Export exports a function.
func (m *Module) Export(name string, f int) { m.ExportRaw(name, 0, f) }

// ExportRaw exports by kind: 0 function, 1 table, 2 memory, 3 global.
func (m *Module) ExportRaw(name string, kind byte, i int) {
	m.exports = append(m.exports, export{name, kind, i})
}

// Global adds a global with a constant expression without its end, and gives its index.
func (m *Module) Global(t byte, mutable bool, init ...byte) int {
	g := []byte{t, 0}
	if mutable {
		g[1] = 1
	}
	m.globals = append(m.globals, append(append(g, init...), End[0]))
	return len(m.globals) - 1
}

// Elements puts functions into table 0 from an offset on.
func (m *Module) Elements(offset int, funcs ...int) {
	e := Cat([]byte{0}, I32Const(int64(offset)), End, U(uint64(len(funcs))))
	for _, f := range funcs {
		e = append(e, U(uint64(f))...)
	}
	m.elements = append(m.elements, e)
}

// Data puts bytes into memory 0 at an offset; a negative offset makes the segment passive.
func (m *Module) Data(offset int, b []byte) {
	head := []byte{1}
	if offset >= 0 {
		head = Cat([]byte{0}, I32Const(int64(offset)), End)
	}
	m.data = append(m.data, Cat(head, U(uint64(len(b))), b))
}

// Custom adds a custom section at the end.
func (m *Module) Custom(name string, content []byte) {
	m.customs = append(m.customs, Cat(Name(name), content))
}

// Names adds a name section with the names of functions by index.
func (m *Module) Names(names ...string) {
	sub := U(uint64(len(names)))
	for i, n := range names {
		sub = append(append(sub, U(uint64(i))...), Name(n)...)
	}
	m.Custom("name", Cat([]byte{1}, U(uint64(len(sub))), sub))
}

// Bytes is the module.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = section(out, 1, m.types, func(t Type) []byte {
		return Cat([]byte{0x60}, U(uint64(len(t.Params))), t.Params, U(uint64(len(t.Results))), t.Results)
	})
	out = section(out, 2, m.imports, func(i imported) []byte {
		return Cat(Name(i.module), Name(i.name), []byte{i.kind}, i.desc)
	})
	out = section(out, 3, m.funcs, func(f function) []byte { return U(uint64(f.typ)) })
	out = section(out, 4, m.Tables, func(l [2]int) []byte { return append([]byte{Funcref}, limits(l)...) })
	out = section(out, 5, m.Memories, limits)
	out = section(out, 6, m.globals, func(g []byte) []byte { return g })
	out = section(out, 7, m.exports, func(e export) []byte {
		return Cat(Name(e.name), []byte{e.kind}, U(uint64(e.index)))
	})
	if m.Start > 0 {
		out = Section(out, 8, U(uint64(m.Start-1)))
	}
	out = section(out, 9, m.elements, func(e []byte) []byte { return e })
	if m.DataCount {
		out = Section(out, 12, U(uint64(len(m.data))))
	}
	out = section(out, 10, m.funcs, func(f function) []byte {
		if f.raw {
			return Cat(U(uint64(len(f.code))), f.code)
		}
		body := U(uint64(len(f.locals)))
		for _, l := range f.locals {
			body = append(body, 1, l)
		}
		body = Cat(body, f.code, End)
		return Cat(U(uint64(len(body))), body)
	})
	out = section(out, 11, m.data, func(d []byte) []byte { return d })
	for _, c := range m.customs {
		out = Section(out, 0, c)
	}
	return out
}

func limits(l [2]int) []byte {
	if l[1] < 0 {
		return append([]byte{0}, U(uint64(l[0]))...)
	}
	return Cat([]byte{1}, U(uint64(l[0])), U(uint64(l[1])))
}

func section[T any](out []byte, id byte, entries []T, encode func(T) []byte) []byte {
	if len(entries) == 0 {
		return out
	}
	content := U(uint64(len(entries)))
	for _, e := range entries {
		content = append(content, encode(e)...)
	}
	return Section(out, id, content)
}

// Section appends a section.
func Section(out []byte, id byte, content []byte) []byte {
	return Cat(out, []byte{id}, U(uint64(len(content))), content)
}
