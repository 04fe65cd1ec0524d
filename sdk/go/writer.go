package wasmgate

import (
	"math"

	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Writer encodes a result into a buffer that it keeps for the next one. The hook and
// capability packages use it; a plugin does not. Fields are written in ascending order;
// an empty one is left out.
type Writer struct {
	b     []byte
	count int
}

const tableRoom = 16 // the most fields that one result of this SDK has

// Start begins a record; hook is 0 in the records of a capability.
func (w *Writer) Start(hook uint16) {
	const head = wire.HeaderBytes + tableRoom*wire.EntryBytes
	if cap(w.b) < head {
		w.b = make([]byte, head, 4096)
	}
	w.b, w.count = w.b[:head], 0
	clear(w.b)
	little.PutUint32(w.b, wire.Magic)
	little.PutUint16(w.b[4:], wire.Version)
	little.PutUint16(w.b[12:], hook)
}

// Finish is the record, which holds until the next Start; nil when it has no field.
func (w *Writer) Finish() []byte {
	if w.count == 0 {
		return nil
	}
	little.PutUint16(w.b[6:], uint16(w.count))
	little.PutUint32(w.b[8:], uint32(len(w.b)))
	return w.b
}

func (w *Writer) begin(id, typ uint16) (start int) {
	if w.count == tableRoom {
		panic("wasmgate: result of too many fields")
	}
	e := w.b[wire.HeaderBytes+w.count*wire.EntryBytes:]
	little.PutUint16(e, id)
	little.PutUint16(e[2:], typ)
	little.PutUint32(e[4:], uint32(len(w.b)))
	w.count++
	return len(w.b)
}

func (w *Writer) end(start int) {
	little.PutUint32(w.b[wire.HeaderBytes+(w.count-1)*wire.EntryBytes+8:], uint32(len(w.b)-start))
}

// String writes bytes.
func (w *Writer) String(id uint16, v string) {
	if v != "" {
		start := w.begin(id, wire.TypeBytes)
		w.b = append(w.b, v...)
		w.end(start)
	}
}

// Bytes writes bytes; nil is left out, empty is not.
func (w *Writer) Bytes(id uint16, v []byte) {
	if v != nil {
		start := w.begin(id, wire.TypeBytes)
		w.b = append(w.b, v...)
		w.end(start)
	}
}

// Uint writes a number; 0 is left out.
func (w *Writer) Uint(id uint16, v uint64) {
	if v != 0 {
		start := w.begin(id, wire.TypeU64)
		w.b = little.AppendUint64(w.b, v)
		w.end(start)
	}
}

// Pairs writes a list of pairs.
func (w *Writer) Pairs(id uint16, pairs []Pair) {
	if len(pairs) == 0 {
		return
	}
	start := w.begin(id, wire.TypePairs)
	w.put32(len(pairs))
	for _, p := range pairs {
		w.put32(len(p.Name))
		w.put32(len(p.Value))
		w.b = append(append(w.b, p.Name...), p.Value...)
	}
	w.end(start)
}

// Names writes a list of names.
func (w *Writer) Names(id uint16, names []string) {
	if len(names) == 0 {
		return
	}
	start := w.begin(id, wire.TypeNames)
	w.put32(len(names))
	for _, n := range names {
		w.put32(len(n))
		w.b = append(w.b, n...)
	}
	w.end(start)
}

// Value writes a value template.
func (w *Writer) Value(id uint16, v Value) {
	if v.kind != absent {
		start := w.begin(id, wire.TypeValue)
		w.template(v)
		w.end(start)
	}
}

// Edits writes a list of edits.
func (w *Writer) Edits(id uint16, edits []Edit) {
	if len(edits) == 0 {
		return
	}
	start := w.begin(id, wire.TypeEdits)
	w.put32(len(edits))
	for _, e := range edits {
		w.put32(int(e.op)) // u16 op, u16 zero
		w.put32(len(e.name))
		length := len(w.b)
		w.put32(0)
		w.b = append(w.b, e.name...)
		w.template(e.value)
		little.PutUint32(w.b[length:], uint32(len(w.b)-length-4-len(e.name)))
	}
	w.end(start)
}

// Buckets writes a list of buckets.
func (w *Writer) Buckets(id uint16, buckets []Bucket) {
	if len(buckets) == 0 {
		return
	}
	start := w.begin(id, wire.TypeBuckets)
	w.put32(len(buckets))
	for _, b := range buckets {
		w.b = little.AppendUint64(w.b, math.Float64bits(b.Rate))
		w.b = little.AppendUint64(w.b, b.Burst)
		w.b = little.AppendUint64(w.b, b.Cost)
		w.put32(len(b.Name))
		length := len(w.b)
		w.put32(0)
		w.b = append(w.b, b.Name...)
		w.template(b.Key)
		little.PutUint32(w.b[length:], uint32(len(w.b)-length-4-len(b.Name)))
	}
	w.end(start)
}

// Verdict writes what stands first in most results: decision to reason.
func (w *Writer) Verdict(d Decision, h Hold, a *Answer, reason string) {
	w.Uint(wire.ResultDecision, uint64(d))
	w.Uint(wire.ResultScope, h.scope)
	w.Uint(wire.ResultTTLMS, uint64(h.ttl))
	w.Uint(wire.ResultStatus, uint64(a.Status))
	w.String(wire.ResultErrorType, a.ErrorType)
	w.String(wire.ResultMessage, a.Message)
	w.String(wire.ResultReason, reason)
}

// Content writes the answer's headers and body.
func (w *Writer) Content(a *Answer) {
	w.Pairs(wire.ResultHeaders, a.Headers)
	w.Bytes(wire.ResultBody, a.Body)
}

func (w *Writer) template(v Value) {
	switch v.kind {
	case literal:
		w.put32(len(v.text))
		w.b = append(w.b, v.text...)
	case selected:
		w.b = little.AppendUint32(w.b, uint32(len(v.text))|1<<31)
		w.b = append(w.b, v.text...)
	case concat:
		for _, p := range v.parts {
			w.template(p)
		}
	}
}

func (w *Writer) put32(v int) { w.b = little.AppendUint32(w.b, uint32(v)) }
