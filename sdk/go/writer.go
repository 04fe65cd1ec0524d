package wasmgate

import (
	"math"
	"slices"

	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Writer encodes a result into a buffer that it keeps for the next one. The hook and
// capability packages use it; a plugin does not. Fields are written in ascending order;
// an empty one is left out.
type Writer struct {
	b     []byte
	count int
}

const (
	tableRoom = 16 // the most fields that one result of this SDK has
	dataStart = wire.HeaderBytes + tableRoom*wire.EntryBytes
)

// Start begins a record; hook is 0 in the records of a capability.
func (w *Writer) Start(hook uint16) {
	if w.b == nil {
		w.b = make([]byte, dataStart, 4096)
	}
	w.b, w.count = w.b[:dataStart], 0
	store32(w.b, 12, uint32(hook)) // u16 hook, u16 zero
}

// Finish is the record, which holds until the next Start; nil when it has no field.
func (w *Writer) Finish() []byte {
	if w.count == 0 {
		return nil
	}
	// The table's room that was not needed is cut off: the table moves up to the data.
	cut := (tableRoom - w.count) * wire.EntryBytes
	for i := dataStart - cut - wire.EntryBytes; i >= wire.HeaderBytes; i -= wire.EntryBytes {
		store32(w.b, i+cut, load32(w.b, i))
		store32(w.b, i+cut+4, load32(w.b, i+4)-uint32(cut))
		store32(w.b, i+cut+8, load32(w.b, i+8))
	}
	out := w.b[cut:]
	store32(out, 12, load32(w.b, 12))
	store32(out, 0, wire.Magic)
	store16(out, 4, wire.Version)
	store16(out, 6, uint16(w.count))
	store32(out, 8, uint32(len(out)))
	return out
}

func (w *Writer) begin(id, typ uint16) (start int) {
	if w.count == tableRoom {
		panic("wasmgate: result of too many fields")
	}
	at := wire.HeaderBytes + w.count*wire.EntryBytes
	store32(w.b, at, uint32(id)|uint32(typ)<<16)
	store32(w.b, at+4, uint32(len(w.b)))
	w.count++
	return len(w.b)
}

func (w *Writer) end(start int) {
	store32(w.b, wire.HeaderBytes+(w.count-1)*wire.EntryBytes+8, uint32(len(w.b)-start))
}

// field begins a field of that many bytes and gives them to be filled.
func (w *Writer) field(id, typ uint16, size int) []byte {
	start := w.begin(id, typ)
	store32(w.b, wire.HeaderBytes+w.count*wire.EntryBytes-4, uint32(size))
	if cap(w.b)-start < size {
		w.b = slices.Grow(w.b, size)
	}
	w.b = w.b[:start+size]
	return w.b[start:]
}

// String writes bytes. This guard and those below stand apart from the work so that the
// compiler inlines them: most fields of most results are left out, and a call is dear.
func (w *Writer) String(id uint16, v string) {
	if v != "" {
		w.text(id, v)
	}
}

// Bytes writes bytes; nil is left out, empty is not.
func (w *Writer) Bytes(id uint16, v []byte) {
	if v != nil {
		w.text(id, view(v))
	}
}

func (w *Writer) text(id uint16, v string) { copy(w.field(id, wire.TypeBytes, len(v)), v) }

// Uint writes a number; 0 is left out.
func (w *Writer) Uint(id uint16, v uint64) {
	if v != 0 {
		w.number(id, v)
	}
}

func (w *Writer) number(id uint16, v uint64) { store64(w.field(id, wire.TypeU64, 8), 0, v) }

// Pairs writes a list of pairs.
func (w *Writer) Pairs(id uint16, pairs []Pair) {
	if len(pairs) != 0 {
		w.pairs(id, pairs)
	}
}

func (w *Writer) pairs(id uint16, pairs []Pair) {
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
		w.named(e.name, e.value)
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
		w.put64(math.Float64bits(b.Rate))
		w.put64(b.Burst)
		w.put64(b.Cost)
		w.named(b.Name, b.Key)
	}
	w.end(start)
}

// named writes the end of an edit or bucket: two lengths, a name, a value.
func (w *Writer) named(name string, v Value) {
	w.put32(len(name))
	length := len(w.b)
	w.put32(0)
	w.b = append(w.b, name...)
	w.template(v)
	store32(w.b, length, uint32(len(w.b)-length-4-len(name)))
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
		w.put32(len(v.text) | 1<<31)
		w.b = append(w.b, v.text...)
	case concat:
		for _, p := range v.parts {
			w.template(p)
		}
	}
}

func (w *Writer) put32(v int) {
	w.b = append(w.b, 0, 0, 0, 0)
	store32(w.b, len(w.b)-4, uint32(v))
}

func (w *Writer) put64(v uint64) {
	w.b = append(w.b, 0, 0, 0, 0, 0, 0, 0, 0)
	store64(w.b, len(w.b)-8, v)
}
