package fuel

// plan is what a rewriting knows of all functions.
type plan struct {
	*module
	current           []byte // the body at work
	slack, calleePays uint32
	roundPays         uint32
	// order is the functions, callees before callers; rank is a function's place in it.
	// A call to a function of equal or higher rank closes a cycle of the call graph.
	order, rank []int32
	// height is an estimate of the native stack that a function takes with all calls
	// below it that are not accounted for, in bytes.
	height []uint32
	// tableHeight is the greatest height of a function that a table may hold.
	tableHeight uint32
	// charges tells that a function charges its entry itself, entry what its callers pay.
	charges []bool
	entry   []uint32
}

func newPlan(m *module, o Options) *plan {
	n := len(m.bodies)
	p := &plan{
		module: m, slack: slack, calleePays: calleePays, roundPays: roundPays,
		rank: make([]int32, n), height: make([]uint32, n), charges: make([]bool, n), entry: make([]uint32, n),
	}
	if o.Exact {
		p.slack, p.calleePays, p.roundPays = 0, 0, 0
	}
	p.sort()
	for _, f := range p.order {
		p.measure(f)
	}
	for f := range n {
		if m.exported != nil && m.exported[m.imports+f] || m.start == m.imports+f {
			p.charges[f] = true
		}
		if m.taken != nil && m.taken[m.imports+f] {
			p.tableHeight = max(p.tableHeight, p.height[f])
		}
	}
	return p
}

// sort walks the call graph depth first, without recursion: it may be as deep as there
// are functions.
func (p *plan) sort() {
	type frame struct{ f, next int32 }
	seen := make([]bool, len(p.bodies))
	var stack []frame
	for root := range p.bodies {
		if seen[root] {
			continue
		}
		seen[root] = true
		stack = append(stack, frame{f: int32(root)})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if callees := p.bodies[top.f].callees; int(top.next) < len(callees) {
				g := callees[top.next]
				top.next++
				if !seen[g] {
					seen[g] = true
					stack = append(stack, frame{f: g})
				}
				continue
			}
			p.rank[top.f] = int32(len(p.order))
			p.order = append(p.order, top.f)
			stack = stack[:len(stack)-1]
		}
	}
}

// measure estimates the stack of function f: a slot for each local, and a byte for each
// four of code for the values between. Its callees are measured before it, except those
// whose calls close a cycle: these calls are accounted for, and the callee charges fuel
// at its entry, so that no cycle is free.
func (p *plan) measure(f int32) {
	b := &p.bodies[f]
	results := len(p.types[p.functions[p.imports+int(f)]].results)
	own := uint32(frameBytes + 8*(b.locals+results) + len(b.code)/4)
	below := uint32(0)
	for _, g := range b.callees {
		switch {
		case p.rank[g] >= p.rank[f]:
			p.charges[g] = true
		case p.height[g] <= freeFrames:
			below = max(below, p.height[g])
		}
	}
	p.height[f] = own + below
	// Recursion through a table must pass a check: at the entry, or at once at a loop head.
	p.charges[f] = p.charges[f] || b.indirect && !b.loopFirst
}

// accounted is the stack to count down around a call from f to g; 0 is none.
func (p *plan) accounted(f, g int32) uint32 {
	if p.rank[g] >= p.rank[f] || p.height[g] > freeFrames {
		return p.height[g]
	}
	return 0
}

// callCost is what a call of function index fn costs its caller.
func (p *plan) callCost(fn uint32) uint32 {
	if g := int(fn) - p.imports; g >= 0 && !p.charges[g] {
		return 1 + p.entry[g]
	}
	return 1
}

// label is an open block while charges are planned backwards.
type label struct {
	cost      uint32 // from the label to the next charge
	elseCost  uint32 // from the start of the else arm, when there is one
	elseEvent int    // -1 is none
	endEvent  int
}

// charge plans the charges of one function, walking its events backwards: cost is always
// what the costliest path from here to the next charge takes. It returns that of the entry.
func (p *plan) charge(events []event, labels []label) (uint32, []label) {
	labels = labels[:0]
	cost := uint32(0)
	for i := len(events) - 1; i >= 0; i-- {
		e := &events[i]
		switch e.kind {
		case end:
			labels, cost = p.closing(events, labels, i, cost)
		case elseArm:
			top := &labels[len(labels)-1]
			top.elseEvent, top.elseCost = i, cost
			cost = top.cost
		case ifElse:
			cost = 1 + p.parting(events, i, labels[len(labels)-1], cost)
			labels = labels[:len(labels)-1]
		case block:
			labels = labels[:len(labels)-1]
		case loop:
			labels = labels[:len(labels)-1]
			if e.targeted {
				e.charge, cost = max(cost, p.roundPays), 0
			}
		case branch:
			cost = 1 + labels[len(labels)-1-int(e.arg)].cost
		case branchIf:
			target := labels[len(labels)-1-int(e.arg)].cost
			if cost > target+p.slack {
				e.charge, cost = cost-target, target
			}
			cost = 1 + max(cost, target)
		case branchTable:
			cost = 1 + p.tableCost(e, labels)
		case leave:
			cost = 1
		case call:
			cost += p.callCost(e.arg)
		case callIndirect:
			cost += 1 + p.calleePays
		case bulk, growth, refFunc, change:
			cost++
		}
		cost += e.plain
	}
	return cost, labels
}

// closing opens a label, walking backwards over the end of its block. Branches to a loop
// find the charge at its head. Where branches to the end of a block meet the way through
// it, what follows is charged there, unless it costs little.
func (p *plan) closing(events []event, labels []label, i int, cost uint32) ([]label, uint32) {
	e := &events[i]
	l := label{elseEvent: -1, endEvent: i}
	if e.opener == ^uint32(0) { // the function's own
		return append(labels, l), 0
	}
	opener := &events[e.opener]
	if opener.kind != loop {
		if opener.targeted && cost > p.slack {
			e.charge, cost = cost, 0
		}
		l.cost = cost
	}
	return append(labels, l), cost
}

// parting is the cost of the arms of an if, of which then costs what is given. An arm that
// costs much more than the other pays the difference itself; without else it gets one.
func (p *plan) parting(events []event, i int, l label, then uint32) uint32 {
	other, at := l.cost, l.endEvent
	if l.elseEvent >= 0 {
		other, at = l.elseCost, l.elseEvent
	}
	switch {
	case then > other+p.slack:
		events[i].charge = then - other
		return other
	case other > then+p.slack:
		events[at].armCharge = other - then
		return then
	}
	return max(then, other)
}

// tableCost is the greatest cost of a br_table's targets.
func (p *plan) tableCost(e *event, labels []label) uint32 {
	r := &reader{b: p.current, pos: int(e.at) + 1}
	cost := uint32(0)
	for range r.u32() + 1 {
		cost = max(cost, labels[len(labels)-1-int(r.u32())].cost)
	}
	return cost
}
