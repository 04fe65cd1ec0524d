package fuel

// Opcodes that are written.
const (
	opBlock     = 0x02
	opElse      = 0x05
	opEnd       = 0x0b
	opBranchIf  = 0x0d
	opReturn    = 0x0f
	opSelect    = 0x1b
	opLocalGet  = 0x20
	opLocalSet  = 0x21
	opLocalTee  = 0x22
	opGlobalGet = 0x23
	opGlobalSet = 0x24
	opI32Const  = 0x41
	opI64Const  = 0x42
	opI32Less   = 0x48
	opI32Differ = 0x47
	opI64Less   = 0x53
	opI32Add    = 0x6a
	opI32Sub    = 0x6b
	opI64Sub    = 0x7d
	opI64Shl    = 0x86
	opI64ShrU   = 0x88
	opI64FromU  = 0xad
)

// writer writes one function. When it has checks, its whole code stands in two blocks: the
// inner one takes the place of the function for branches to it, and the end of the outer
// one is the one place that traps, so that checks are forward branches never taken.
type writer struct {
	out     []byte
	p       *plan
	f       int32
	fuel    uint32 // indices of the globals
	stack   uint32
	changed uint32
	scratch uint32 // index of the first of two i32 locals
	// cached says that the function, which is a tight loop, holds the counter in the local
	// left until it ends: one that counts in memory waits for it each round.
	cached bool
	left   uint32
}

func (p *plan) write(f int32, entry uint32, events []event) []byte {
	b := &p.bodies[f]
	w := &writer{p: p, f: f, fuel: uint32(p.globals), stack: uint32(p.globals + 1),
		changed: p.changed(), scratch: uint32(b.locals), left: uint32(b.locals)}
	if b.scratch {
		w.left += 2
	}
	w.cached = tightLoop(events)
	wrapped := p.charges[f] || w.traps(events)
	w.out = make([]byte, 0, len(b.code)+4*len(events)+32)
	w.locals(b)
	if wrapped {
		w.out = append(w.out, opBlock, 0x40)
	}
	w.reload()
	if p.charges[f] {
		w.charge(entry)
		w.check(w.fuel, 0)
	}
	if wrapped {
		w.out = append(append(w.out, opBlock), p.blockType(p.functions[p.imports+int(f)])...)
	}
	from := uint32(b.begin)
	for i := range events {
		e := &events[i]
		w.out = append(w.out, b.code[from:e.at]...)
		w.event(e)
		from = e.next
	}
	if wrapped {
		w.flush()
		w.out = append(w.out, opReturn, opEnd)
		w.flush()
		w.out = append(w.out, 0x00, opEnd) // unreachable
	}
	return w.out
}

// flush puts the counter where others see it.
func (w *writer) flush() {
	if w.cached {
		w.out = appendU32(append(w.out, opLocalGet), w.left)
		w.out = appendU32(append(w.out, opGlobalSet), w.fuel)
	}
}

// reload takes the counter from there.
func (w *writer) reload() {
	if w.cached {
		w.out = appendU32(append(w.out, opGlobalGet), w.fuel)
		w.out = appendU32(append(w.out, opLocalSet), w.left)
	}
}

// get pushes the counter, and set pops it.
func (w *writer) get() {
	if w.cached {
		w.out = appendU32(append(w.out, opLocalGet), w.left)
	} else {
		w.out = appendU32(append(w.out, opGlobalGet), w.fuel)
	}
}

func (w *writer) set() {
	if w.cached {
		w.out = appendU32(append(w.out, opLocalSet), w.left)
	} else {
		w.out = appendU32(append(w.out, opGlobalSet), w.fuel)
	}
}

// tightLoop tells whether a function is one loop and calls nothing. In larger ones the local
// costs more, in moves where paths meet, than it spares.
func tightLoop(events []event) bool {
	loops := 0
	for i := range events {
		switch e := &events[i]; {
		case e.kind == call, e.kind == callIndirect:
			return false
		case e.kind == loop && e.targeted:
			loops++
		}
	}
	return loops == 1
}

// traps tells whether any check will be written.
func (w *writer) traps(events []event) bool {
	for i := range events {
		switch e := &events[i]; e.kind {
		case loop:
			if e.targeted {
				return true
			}
		case callIndirect, bulk, growth:
			return true
		case call:
			if g := int32(e.arg) - int32(w.p.imports); g >= 0 && w.p.accounted(w.f, g) > 0 {
				return true
			}
		}
	}
	return false
}

// locals writes the declarations of locals, with those for lengths and the counter at the end.
func (w *writer) locals(b *body) {
	var own []byte
	groups := b.groups
	if b.scratch {
		own = append(own, 2, 0x7f)
		groups++
	}
	if w.cached {
		own = append(own, 1, 0x7e)
		groups++
	}
	r := &reader{b: b.code}
	r.u32()
	w.out = appendU32(w.out, uint32(groups))
	w.out = append(w.out, b.code[r.pos:b.begin]...)
	w.out = append(w.out, own...)
}

func (w *writer) event(e *event) {
	raw := w.p.current[e.at:e.next]
	if e.marks { // before it, when nothing of it is on the stack's top
		w.out = append(w.out, opI32Const, 1)
		w.out = appendU32(append(w.out, opGlobalSet), w.changed)
	}
	switch e.kind {
	case end:
		if e.armCharge > 0 {
			w.out = append(w.out, opElse)
			w.charge(e.armCharge)
		}
		w.out = append(w.out, raw...)
	case elseArm:
		w.out = append(w.out, raw...)
		w.charge(e.armCharge)
	case call:
		bytes := uint32(0)
		if g := int32(e.arg) - int32(w.p.imports); g >= 0 {
			bytes = w.p.accounted(w.f, g)
		}
		w.call(raw, bytes, e.depth)
	case callIndirect:
		w.call(raw, max(w.p.tableHeight, frameBytes), e.depth)
	case bulk:
		w.bulk(e, raw)
	case growth:
		w.growth(e, raw)
	case leave:
		w.flush()
		w.out = append(w.out, raw...)
	case refFunc:
		w.out = appendU32(append(w.out, opGlobalGet), uint32(w.p.refs[int(e.arg)]))
	default:
		w.out = append(w.out, raw...)
	}
	w.charge(e.charge)
	if e.kind == loop && e.targeted {
		w.check(w.fuel, e.depth+2)
	}
}

// charge takes units of fuel without looking at what is left.
func (w *writer) charge(units uint32) {
	if units == 0 {
		return
	}
	w.get()
	w.out = append(appendSigned(append(w.out, opI64Const), int64(units)), opI64Sub)
	w.set()
}

// check traps when a counter is below zero, by a branch to the outermost block.
func (w *writer) check(global, depth uint32) {
	if global == w.fuel {
		w.get()
		w.out = append(w.out, opI64Const, 0, opI64Less)
	} else {
		w.out = appendU32(append(w.out, opGlobalGet), global)
		w.out = append(w.out, opI32Const, 0, opI32Less)
	}
	w.out = appendU32(append(w.out, opBranchIf), depth)
}

// call writes a call, with the stack counted down by bytes around it.
func (w *writer) call(raw []byte, bytes, depth uint32) {
	if bytes == 0 {
		w.out = append(w.out, raw...)
		return
	}
	w.count(opI32Sub, bytes)
	w.check(w.stack, depth+1)
	w.out = append(w.out, raw...)
	w.count(opI32Add, bytes)
}

func (w *writer) count(op byte, bytes uint32) {
	w.out = appendU32(append(w.out, opGlobalGet), w.stack)
	w.out = appendSigned(append(w.out, opI32Const), int64(bytes))
	w.out = appendU32(append(w.out, op, opGlobalSet), w.stack)
}

// bulk charges an operation for the number on the stack's top, before it runs.
func (w *writer) bulk(e *event, raw []byte) {
	w.out = appendU32(append(w.out, opLocalTee), w.scratch)
	w.get()
	w.out = appendU32(append(w.out, opLocalGet), w.scratch)
	w.out = append(w.out, opI64FromU, opI64Const, e.shift, opI64ShrU, opI64Sub)
	w.set()
	w.check(w.fuel, e.depth+1)
	w.out = append(w.out, raw...)
}

// growth charges memory.grow and table.grow for the number on the stack's top, when they
// succeeded: a guest that asks in vain for too much is told so, as by the specification.
func (w *writer) growth(e *event, raw []byte) {
	w.out = appendU32(append(w.out, opLocalTee), w.scratch)
	w.out = append(w.out, raw...)
	w.out = appendU32(append(w.out, opLocalTee), w.scratch+1)
	w.get()
	w.out = appendU32(append(w.out, opLocalGet), w.scratch)
	w.out = append(w.out, opI64FromU, opI64Const, e.shift, opI64Shl, opI64Const, 0)
	w.out = appendU32(append(w.out, opLocalGet), w.scratch+1)
	w.out = append(w.out, opI32Const, 0x7f, opI32Differ, opSelect, opI64Sub) // -1
	w.set()
	w.check(w.fuel, e.depth+1)
}
