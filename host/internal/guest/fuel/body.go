package fuel

import "fmt"

// body is one function of the module.
type body struct {
	code      []byte // declarations of locals and instructions
	begin     int    // offset of the first instruction
	groups    int    // how many declarations of locals
	locals    int    // with parameters
	callees   []int32
	indirect  bool
	loopFirst bool // a loop head stands before all other control
	scratch   bool // needs two i32 locals for the lengths of bulk operations
}

func (m *module) readCode(r *reader) error {
	m.bodies = make([]body, r.count("functions", 2, maxFunctions))
	if r.err == nil && len(m.bodies) != len(m.functions)-m.imports {
		return fmt.Errorf("%d function bodies, want %d", len(m.bodies), len(m.functions)-m.imports)
	}
	var events []event
	for i := range m.bodies {
		size := r.count("bytes of code", 1, maxBody)
		b := &m.bodies[i]
		if b.code = r.bytes(size); r.err != nil {
			return r.err
		}
		var err error
		if events, err = m.scan(i, events[:0]); err != nil {
			return fmt.Errorf("function %d: %w", m.imports+i, err)
		}
		b.note(m, events)
		time := b.shape(events).time(m.mutable)
		if m.time += time; time > maxFunctionTime || m.time > maxModuleTime {
			return fmt.Errorf("function %d: %d locals, %d events of control: too complex to compile", m.imports+i, b.locals, len(events))
		}
	}
	if r.err == nil && r.pos != len(r.b) {
		r.fail("%d bytes after the end", len(r.b)-r.pos)
	}
	return r.err
}

// note keeps what planning must know of all functions at once.
func (b *body) note(m *module, events []event) {
	b.loopFirst = events[0].kind == loop && events[0].targeted
	for i := range events {
		m.marks = m.marks || events[i].marks
		switch e := &events[i]; e.kind {
		case call:
			if f := int(e.arg) - m.imports; f >= 0 {
				b.callees = append(b.callees, int32(f))
			}
		case callIndirect:
			b.indirect = true
		case bulk, growth:
			b.scratch = true
		case refFunc:
			m.take(int(e.arg))
			if _, ok := m.refs[int(e.arg)]; !ok {
				m.refs[int(e.arg)] = m.globals + 2 + len(m.refs)
			}
		}
	}
}

func (b *body) shape(events []event) shape {
	s := shape{locals: b.locals}
	depth, targets := 0, reader{b: b.code}
	for i := range events {
		switch e := &events[i]; e.kind {
		case block, ifElse, branchIf:
			s.blocks++
		case loop:
			s.blocks++
			s.loops++
			depth++
			s.nesting = max(s.nesting, depth)
		case end:
			if e.opener != ^uint32(0) && events[e.opener].kind == loop {
				depth--
			}
		case branchTable:
			targets.pos = int(e.at) + 1
			s.targets += int(targets.u32())
		case call, callIndirect:
			s.calls++
		}
	}
	return s
}

// kind is what an event means for control and cost.
type kind byte

const (
	block kind = iota
	loop
	ifElse
	elseArm
	end
	branch
	branchIf
	branchTable
	leave // return, unreachable
	call
	callIndirect
	bulk   // memory and table operations that take time by the number on the stack's top
	growth // memory.grow, table.grow
	refFunc
	change // one that only marks
)

// event is an instruction that rewriting looks at; those between count only by number.
type event struct {
	kind     kind
	shift    byte   // bulk, growth: units of fuel as a power of two
	targeted bool   // block, loop, ifElse: a branch leads to the label
	marks    bool   // changes state that only a new instance has as it was
	at, next uint32 // offsets of the opcode and of what follows its immediates
	plain    uint32 // cost of the instructions since the event before
	arg      uint32 // label of a branch, function of a call
	depth    uint32 // open blocks around it; equals the label of the function itself
	opener   uint32 // end, elseArm: the event that opened the block
	// Planned: units to take after the event, and in the else arm that begins there or,
	// at the end of an if without one, is put before it.
	charge, armCharge uint32
}

// scanner walks the instructions of one function.
type scanner struct {
	*reader
	m      *module
	body   *body
	events []event
	open   []uint32 // events of the open blocks
	plain  uint32
	global int // that was named last
}

// scan appends the events of function i, checking all that wazero's validator could be led
// astray by: indices of locals and globals, since rewriting adds some at the end.
func (m *module) scan(i int, events []event) ([]event, error) {
	b := &m.bodies[i]
	s := &scanner{reader: &reader{b: b.code}, m: m, body: b, events: events}
	b.locals = m.types[m.functions[m.imports+i]].params
	b.groups = s.count("declarations of locals", 2, maxLocals)
	for range b.groups {
		n := s.u32()
		s.valueType()
		if uint64(n) > uint64(maxLocals-min(b.locals, maxLocals)) {
			s.fail("%d more locals, want at most %d", n, maxLocals)
			return nil, s.err
		}
		b.locals += int(n)
		m.locals += int(n)
	}
	if m.locals > maxAllLocals {
		s.fail("more than %d locals in the module", maxAllLocals)
	}
	b.begin = s.pos
	for closed := false; !closed && s.err == nil; {
		s.run()
		closed = s.instruction()
	}
	if s.err == nil && s.pos != len(b.code) {
		s.fail("instructions after the end")
	}
	return s.events, s.err
}

func (s *scanner) event(k kind, at int, arg uint32) *event {
	s.events = append(s.events, event{
		kind: k, at: uint32(at), next: uint32(s.pos), plain: s.plain, arg: arg, depth: uint32(len(s.open)),
	})
	s.plain = 0
	return &s.events[len(s.events)-1]
}

// run skips the instructions that are most of all code: those without immediates, and those
// of locals and constants in two bytes.
func (s *scanner) run() {
	code, pos, plain := s.b, s.pos, s.plain
	for pos+1 < len(code) {
		switch op, next := code[pos], code[pos+1]; {
		case op >= 0x45 && op <= 0xc4:
			pos++
		case op >= 0x20 && op <= 0x22 && next < 0x80 && int(next) < s.body.locals,
			(op == 0x41 || op == 0x42) && next < 0x80:
			pos += 2
		default:
			s.pos, s.plain = pos, plain
			return
		}
		plain++
	}
	s.pos, s.plain = pos, plain
}

// instruction reads one; true is the end of the function.
func (s *scanner) instruction() bool {
	at := s.pos
	switch op := s.byte(); op {
	case 0x01: // nop
	case 0x02, 0x03, 0x04:
		s.blockType()
		s.event(kind(op-0x02), at, 0)
		if s.open = append(s.open, uint32(len(s.events)-1)); len(s.open) > maxNesting {
			s.fail("blocks nest deeper than %d", maxNesting)
		}
	case 0x05:
		if len(s.open) == 0 || s.events[s.open[len(s.open)-1]].kind != ifElse {
			s.fail("else without if")
			return true
		}
		top := s.open[len(s.open)-1]
		s.event(elseArm, at, 0).opener = top
	case 0x0b:
		if len(s.open) == 0 {
			s.event(end, at, 0).opener = ^uint32(0)
			return true
		}
		top := s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
		s.event(end, at, 0).opener = top
	case 0x0c:
		s.event(branch, at, s.label())
	case 0x0d:
		s.event(branchIf, at, s.label())
	case 0x0e:
		s.labels()
		s.event(branchTable, at, 0)
	case 0x00, 0x0f:
		s.event(leave, at, 0)
	case 0x10:
		f := s.index("function", len(s.m.functions))
		s.event(call, at, uint32(f))
	case 0x11:
		s.index("type", s.m.declared)
		s.index("table", s.m.tables)
		s.event(callIndirect, at, 0)
	case 0x40:
		s.memory()
		s.event(growth, at, 0).shift = pageUnitShift
	case 0xd2:
		f := s.index("function", len(s.m.functions))
		s.event(refFunc, at, uint32(f))
	case 0xfc:
		s.prefixed(at)
	default:
		s.immediates(op)
		if op == 0x26 || op == 0x24 && s.err == nil && s.m.opaque[s.global] {
			s.event(change, at, 0).marks = true
		} else {
			s.plain++
		}
	}
	return false
}

// label reads a label and marks its block as one that branches lead to.
func (s *scanner) label() uint32 {
	l := s.index("label", len(s.open)+1)
	if l < len(s.open) {
		s.events[s.open[len(s.open)-1-l]].targeted = true
	}
	return uint32(l)
}

// labels reads the targets of a br_table.
func (s *scanner) labels() {
	n := s.count("branch targets", 1, maxTargets)
	if s.m.targets += n; s.m.targets > maxTargets {
		s.fail("more than %d branch targets in the module", maxTargets)
	}
	for i := 0; i <= n && s.err == nil; i++ {
		s.label()
	}
}

func (s *scanner) blockType() {
	switch c := s.b[min(s.pos, len(s.b)-1)]; {
	case c == 0x40:
		s.byte()
	case c&0xc0 == 0x40: // a negative number of one byte: a value type
		s.valueType()
	default: // a type index, as s33
		s.index("type", s.m.declared)
	}
}

// secondary reads the opcode after a prefix, in its shortest form only. wazero takes one byte
// where the format has a number of any length: with 0xfd 0x80 0x00 it would see other
// instructions than we do, such as a loop without a check. (Of 0xfd 0x80 0x01 it takes the
// last byte for a nop, which comes to the same.)
func (s *scanner) secondary() uint32 {
	op := uint32(s.byte())
	if op < 0x80 {
		return op
	}
	if s.byte() != 1 {
		s.fail("unknown opcode, or not in its shortest form")
	}
	return op
}

// memory reads the index of a memory, which is 0 and one byte: there, too, wazero's compiler
// takes one byte where its validator takes any number.
func (s *scanner) memory() {
	if b := s.byte(); b != 0 || s.m.memories == 0 {
		s.fail("memory index %#x, want 0 of one memory", b)
	}
}

// prefixed reads an instruction after 0xfc.
func (s *scanner) prefixed(at int) {
	op := s.secondary()
	shift := byte(0)
	switch op {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncation
		s.plain++
		return
	case 9: // data.drop
		s.segment()
		s.event(change, at, 0).marks = true
		return
	case 13: // elem.drop
		s.u32()
		s.event(change, at, 0).marks = true
		return
	case 16: // table.size
		s.u32()
		s.plain++
		return
	case 8: // memory.init
		s.segment()
		s.memory()
		shift = memoryUnitShift
	case 10: // memory.copy
		s.memory()
		s.memory()
		shift = memoryUnitShift
	case 11: // memory.fill
		s.memory()
		shift = memoryUnitShift
	case 12: // table.init
		s.u32()
		s.index("table", s.m.tables)
	case 14: // table.copy
		s.index("table", s.m.tables)
		s.index("table", s.m.tables)
	case 15: // table.grow
		s.index("table", s.m.tables)
		s.event(growth, at, 0).marks = true
		return
	case 17: // table.fill
		s.index("table", s.m.tables)
	default:
		s.fail("unknown opcode 0xfc %d", op)
		return
	}
	e := s.event(bulk, at, 0)
	e.shift, e.marks = shift, shift == 0 // those of tables
}

func (s *scanner) segment() {
	s.index("data segment", max(s.m.dataCount, 0))
}

// immediates skips what follows an opcode without control.
func (s *scanner) immediates(op byte) {
	switch {
	case op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	case op == 0x1c:
		for range s.count("types of select", 1, 1) {
			s.valueType()
		}
	case op >= 0x20 && op <= 0x22:
		s.index("local", s.body.locals)
	case op == 0x23, op == 0x24:
		s.global = s.index("global", s.m.globals)
	case op == 0x25, op == 0x26:
		s.index("table", s.m.tables)
	case op >= 0x28 && op <= 0x3e:
		s.memoryArgument()
	case op == 0x3f:
		s.memory()
	case op == 0x41:
		s.signed(32)
	case op == 0x42:
		s.signed(64)
	case op == 0x43:
		s.bytes(4)
	case op == 0x44:
		s.bytes(8)
	case op == 0xd0:
		s.refType()
	case op == 0xfd:
		s.vector()
	default:
		s.fail("unknown opcode %#x", op)
	}
}

func (s *scanner) memoryArgument() {
	if align := s.u32(); align > 4 {
		s.fail("alignment 2^%d", align)
	}
	s.u32()
	if s.m.memories == 0 {
		s.fail("memory access without a memory")
	}
}

// vector skips the immediates of an instruction after 0xfd.
func (s *scanner) vector() {
	switch op := s.secondary(); {
	case op <= 11, op == 92, op == 93: // loads and store of a vector
		s.memoryArgument()
	case op == 12, op == 13: // v128.const, i8x16.shuffle
		s.bytes(16)
	case op >= 21 && op <= 34: // lanes
		s.byte()
	case op >= 84 && op <= 91: // loads and stores of a lane
		s.memoryArgument()
		s.byte()
	case op <= 255:
	default:
		s.fail("unknown opcode 0xfd %d", op)
	}
}
