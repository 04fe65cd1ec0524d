package proxywasm

// text is a name in the guest's memory, as long as names may be.
func (v *vm) text(at, length uint64) (string, status) {
	b, ok := v.bytes(at, length)
	switch {
	case !ok:
		return "", statusInvalidMemory
	case len(b) > maxNameBytes:
		return "", statusBadArgument
	}
	return string(b), statusOK
}

func hostSetData(v *vm, w []uint64) status {
	key, st := v.text(w[0], w[1])
	value, ok := v.bytes(w[2], w[3])
	switch {
	case !ok:
		return statusInvalidMemory
	case st != statusOK:
		return st
	}
	v.box.Charge(int64(len(value) >> 3))
	return v.p.shared.set(v.p.space, key, value, uint32(w[4]), v.stage == stageStart)
}

func hostGetData(v *vm, w []uint64) status {
	key, st := v.text(w[0], w[1])
	if st != statusOK {
		return st
	}
	if !v.room32(w[4]) {
		return statusInvalidMemory
	}
	value, cas, st := v.p.shared.get(v.p.space, key)
	if st != statusOK {
		return st
	}
	if st := v.give(value, w[2], w[3]); st != statusOK {
		return st
	}
	return v.put32(w[4], cas)
}

func hostRegisterQueue(v *vm, w []uint64) status {
	name, st := v.text(w[0], w[1])
	if st != statusOK {
		return st
	}
	if !v.room32(w[2]) {
		return statusInvalidMemory
	}
	id, st := v.p.shared.register(v, v.p.space, name)
	if st != statusOK {
		return st
	}
	v.p.know(id)
	return v.put32(w[2], id)
}

func hostResolveQueue(v *vm, w []uint64) status {
	vmID, st := v.text(w[0], w[1])
	if st != statusOK {
		return st
	}
	name, st := v.text(w[2], w[3])
	if st != statusOK {
		return st
	}
	if !v.room32(w[4]) {
		return statusInvalidMemory
	}
	if vmID == "" {
		vmID = v.p.Name
	}
	id, st := v.p.shared.resolve(vmID, name)
	if st != statusOK {
		return st
	}
	v.p.know(id)
	return v.put32(w[4], id)
}

// hostEnqueue knows only queues that the plugin registered or resolved: a number is no
// permission.
func hostEnqueue(v *vm, w []uint64) status {
	item, ok := v.bytes(w[1], w[2])
	if !ok {
		return statusInvalidMemory
	}
	if !v.p.knows(uint32(w[0])) {
		return statusNotFound
	}
	v.box.Charge(int64(len(item) >> 3))
	return v.p.shared.enqueue(uint32(w[0]), item)
}

func hostDequeue(v *vm, w []uint64) status {
	if !v.room32(w[1]) || !v.room32(w[2]) {
		return statusInvalidMemory
	}
	if !v.p.knows(uint32(w[0])) {
		return statusNotFound
	}
	item, st := v.p.shared.dequeue(uint32(w[0]))
	if st != statusOK {
		return st
	}
	return v.give(item, w[1], w[2])
}

// MetricKind is a kind of metric that a plugin defines.
type MetricKind uint32

// The kinds.
const (
	Counter MetricKind = iota
	Gauge
	Histogram
)

// Metric is one metric of a plugin. It is safe for concurrent use.
type Metric interface {
	// Add moves a counter, which only grows, or a gauge.
	Add(delta int64)
	// Record sets a gauge, or adds a value to a histogram.
	Record(value uint64)
	// Value is what a counter or a gauge stands at.
	Value() uint64
}

// Metrics makes the metrics of a plugin. It is safe for concurrent use.
type Metrics interface {
	// Metric is the metric of that kind and name, always the same one; nil when the plugin
	// has too many.
	Metric(kind MetricKind, name string) Metric
}

// defined is a metric as a guest knows it by its number.
type defined struct {
	kind   MetricKind
	name   string
	metric Metric
}

func hostDefineMetric(v *vm, w []uint64) status {
	kind := MetricKind(uint32(w[0]))
	name, st := v.text(w[1], w[2])
	switch {
	case st != statusOK:
		return st
	case !v.room32(w[3]):
		return statusInvalidMemory
	case kind > Histogram || name == "":
		return statusBadArgument
	}
	id, ok := v.p.defineMetric(kind, name)
	if !ok {
		return statusInternal
	}
	return v.put32(w[3], id)
}

func hostRecordMetric(v *vm, w []uint64) status {
	m, st := v.p.metric(uint32(w[0]))
	switch {
	case st != statusOK:
		return st
	case m.kind == Counter: // it only counts
		return statusBadArgument
	}
	m.metric.Record(w[1])
	return statusOK
}

func hostIncrementMetric(v *vm, w []uint64) status {
	m, st := v.p.metric(uint32(w[0]))
	switch {
	case st != statusOK:
		return st
	case m.kind == Histogram || m.kind == Counter && int64(w[1]) < 0:
		return statusBadArgument
	}
	m.metric.Add(int64(w[1]))
	return statusOK
}

func hostGetMetric(v *vm, w []uint64) status {
	m, st := v.p.metric(uint32(w[0]))
	switch {
	case st != statusOK:
		return st
	case m.kind == Histogram:
		return statusBadArgument
	}
	return v.put64(w[1], m.metric.Value())
}
