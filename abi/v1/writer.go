package abi

import (
	"fmt"
	"math"
)

// Writer encodes one record into a buffer of the caller's, without allocating. Fields
// are written in ascending order of their ids. What does not fit is counted and not
// written, and mistakes are kept until [Writer.Finish] reports them; nothing panics.
// The zero value wants a [Writer.Start]; a Writer may be used again and again.
type Writer[F ID] struct {
	buf        []byte
	end        int // end of the data, which may be past the buffer
	count, max int
	last       int
	hook       Hook
	open       int // where the open list begins, 0 when there is none
	items      uint32
	err        error
}

// NoRoomError says that a record is longer than the buffer.
type NoRoomError struct{ Need, Have int }

// Error names what it needs and what there is.
func (e *NoRoomError) Error() string {
	return fmt.Sprintf("write record: it has %d bytes, the buffer %d", e.Need, e.Have)
}

// LimitError says that a list holds more than a record may.
type LimitError struct{ Got, Limit int }

// Error names how many there are and how many there may be.
func (e *LimitError) Error() string {
	return fmt.Sprintf("write record: list of %d pairs, want at most %d", e.Got, e.Limit)
}

// Start begins a record for the hook (0: for a capability) with room for maxFields
// fields in its table.
func (w *Writer[F]) Start(buf []byte, hook Hook, maxFields int) {
	*w = Writer[F]{buf: buf, end: headerBytes + maxFields*entryBytes, max: maxFields, last: -1, hook: hook}
	if maxFields > MaxFields {
		w.err = fmt.Errorf("write record: room for %d fields, want at most %d", maxFields, MaxFields)
	}
}

// Bytes writes a field of type bytes.
func (w *Writer[F]) Bytes(id F, v []byte) {
	if w.entry(id, TypeBytes, len(v)) {
		w.put(v)
	}
}

// String writes a field of type bytes.
func (w *Writer[F]) String(id F, v string) {
	if w.entry(id, TypeBytes, len(v)) {
		w.putString(v)
	}
}

// Uint writes a number.
func (w *Writer[F]) Uint(id F, v uint64) {
	if w.entry(id, TypeU64, 8) {
		w.put64(v)
	}
}

// BeginPairs opens a list of pairs, which [Writer.EndPairs] closes.
func (w *Writer[F]) BeginPairs(id F) {
	if w.entry(id, TypePairs, 0) {
		w.open, w.items = w.end, 0
		w.put32(0)
	}
}

// Pair appends a pair to the open list.
func (w *Writer[F]) Pair(name, value []byte) {
	w.pairHead(len(name), len(value))
	w.put(name)
	w.put(value)
}

// PairStrings is Pair for strings.
func (w *Writer[F]) PairStrings(name, value string) {
	w.pairHead(len(name), len(value))
	w.putString(name)
	w.putString(value)
}

func (w *Writer[F]) pairHead(name, value int) {
	if w.open == 0 && w.err == nil {
		w.err = fmt.Errorf("write record: pair outside of a list")
	}
	w.put32(uint32(name))
	w.put32(uint32(value))
	w.items++
}

// EndPairs closes the list of pairs. A list over [MaxPairs], which no reader would take,
// makes [Writer.Finish] give a [LimitError].
func (w *Writer[F]) EndPairs() {
	if w.items > MaxPairs && w.err == nil {
		w.err = &LimitError{int(w.items), MaxPairs}
	}
	w.closeList()
}

func (w *Writer[F]) closeList() {
	if w.open == 0 {
		return
	}
	w.patch32(w.open, w.items)
	w.patch32(headerBytes+(w.count-1)*entryBytes+8, uint32(w.end-w.open))
	w.open = 0
}

// Value writes a value template.
func (w *Writer[F]) Value(id F, v Value) {
	if w.entry(id, TypeValue, len(v)) {
		w.put(v)
	}
}

// Values writes a list of value templates.
func (w *Writer[F]) Values(id F, values []Value) {
	w.list(id, TypeValues, len(values))
	for _, v := range values {
		w.put32(uint32(len(v)))
		w.put(v)
	}
	w.closeList()
}

// Names writes a list of names.
func (w *Writer[F]) Names(id F, names []string) {
	w.list(id, TypeNames, len(names))
	for _, n := range names {
		w.put32(uint32(len(n)))
		w.putString(n)
	}
	w.closeList()
}

// Edits writes a list of edits.
func (w *Writer[F]) Edits(id F, edits []Edit) {
	w.list(id, TypeEdits, len(edits))
	for _, e := range edits {
		w.put32(uint32(e.Op)) // u16 op, u16 zero
		w.put32(uint32(len(e.Name)))
		w.put32(uint32(len(e.Value)))
		w.put(e.Name)
		w.put(e.Value)
	}
	w.closeList()
}

// Buckets writes a list of buckets.
func (w *Writer[F]) Buckets(id F, buckets []Bucket) {
	w.list(id, TypeBuckets, len(buckets))
	for _, b := range buckets {
		w.put64(math.Float64bits(b.Rate))
		w.put64(b.Burst)
		w.put64(b.Cost)
		w.put32(uint32(len(b.Name)))
		w.put32(uint32(len(b.Key)))
		w.put(b.Name)
		w.put(b.Key)
	}
	w.closeList()
}

func (w *Writer[F]) list(id F, t Type, items int) {
	if w.entry(id, t, 0) {
		w.open, w.items = w.end, uint32(items)
		w.put32(0)
	}
}

// Finish ends the record and gives its length. A [NoRoomError] says that it does not
// fit, a [LimitError] that a list is too long; any other error is a mistake of the caller: an order, a type, too many fields.
func (w *Writer[F]) Finish() (n int, err error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case w.open != 0:
		return 0, fmt.Errorf("write record: list is not closed")
	case w.end > math.MaxUint32 || w.end > len(w.buf):
		return 0, &NoRoomError{Need: w.end, Have: len(w.buf)}
	}
	// What an earlier record left between the table and the data would make equal records differ.
	clear(w.buf[headerBytes+w.count*entryBytes : headerBytes+w.max*entryBytes])
	b := w.buf[:headerBytes]
	little.PutUint32(b, Magic)
	little.PutUint16(b[4:], recordVersion)
	little.PutUint16(b[6:], uint16(w.count))
	little.PutUint32(b[8:], uint32(w.end))
	little.PutUint16(b[12:], uint16(w.hook))
	little.PutUint16(b[14:], 0)
	return w.end, nil
}

// entry writes the table's entry of a field whose data begin here.
func (w *Writer[F]) entry(id F, t Type, length int) bool {
	if w.err != nil {
		return false
	}
	switch {
	case int(id) <= w.last:
		w.err = fmt.Errorf("write record: field %v after field %v: ids must ascend", id, F(w.last))
	case id.Type() != t:
		w.err = fmt.Errorf("write record: field %v: type %v, want %v", id, t, id.Type())
	case w.count == w.max:
		w.err = fmt.Errorf("write record: field %v: the table has room for %d", id, w.max)
	case w.open != 0:
		w.err = fmt.Errorf("write record: field %v: the list before it is not closed", id)
	default:
		at := headerBytes + w.count*entryBytes
		w.last, w.count = int(id), w.count+1
		if at+entryBytes <= len(w.buf) {
			e := w.buf[at:][:entryBytes]
			little.PutUint16(e, uint16(id))
			little.PutUint16(e[2:], uint16(t))
			little.PutUint32(e[4:], uint32(w.end))
			little.PutUint32(e[8:], uint32(length))
		}
		return true
	}
	return false
}

func (w *Writer[F]) put(v []byte) {
	if w.end+len(v) <= len(w.buf) {
		copy(w.buf[w.end:], v)
	}
	w.end += len(v)
}

func (w *Writer[F]) putString(v string) {
	if w.end+len(v) <= len(w.buf) {
		copy(w.buf[w.end:], v)
	}
	w.end += len(v)
}

func (w *Writer[F]) put32(v uint32) {
	w.patch32(w.end, v)
	w.end += 4
}

func (w *Writer[F]) patch32(at int, v uint32) {
	if at+4 <= len(w.buf) {
		little.PutUint32(w.buf[at:], v)
	}
}

func (w *Writer[F]) put64(v uint64) {
	if w.end+8 <= len(w.buf) {
		little.PutUint64(w.buf[w.end:], v)
	}
	w.end += 8
}
