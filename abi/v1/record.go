package abi

import (
	"encoding/binary"
	"fmt"
)

var little = binary.LittleEndian

// Record is a parsed record: every getter is in bounds and cannot fail. It aliases the
// bytes that were parsed and holds as long as they stay unchanged; a result stands in
// the guest's memory, so that is until the next call of the guest. The zero value has
// no fields.
type Record[F ID] struct {
	b   []byte
	set uint64 // bit n is set when known field n is there
}

// Request is what the host tells the guest.
type Request = Record[Field]

// Result is what the guest answers.
type Result = Record[ResultField]

// ParseRequest is [Parse] for a request.
func ParseRequest(b []byte) (Request, error) { return Parse[Field](b) }

// ParseResult parses what the hook returned; empty bytes are a result without fields.
// It refuses a record of another hook, an unknown decision, scope, edit operation, call
// flag or selector, and a status or TTL out of range, besides what [Parse] refuses.
func ParseResult(b []byte, hook Hook) (Result, error) {
	if len(b) == 0 {
		return Result{}, nil
	}
	if len(b) > MaxResultBytes {
		return Result{}, fmt.Errorf("parse result: %d bytes, want at most %d", len(b), MaxResultBytes)
	}
	r, err := Parse[ResultField](b)
	if err != nil {
		return Result{}, err
	}
	if r.Hook() != hook {
		return Result{}, fmt.Errorf("parse result: record of hook %v, want %v", r.Hook(), hook)
	}
	if err := checkMeaning(r); err != nil {
		return Result{}, err
	}
	return r, nil
}

// Parse checks the whole record once: magic, version, bounds, ascending ids, types, and
// the structure and limits of every known field. Fields with unknown ids are skipped.
// Data of two fields may overlap: reading them harms nobody.
func Parse[F ID](b []byte) (Record[F], error) {
	if len(b) < headerBytes {
		return Record[F]{}, fmt.Errorf("parse record: %d bytes, want at least %d", len(b), headerBytes)
	}
	count := int(little.Uint16(b[6:]))
	switch {
	case little.Uint32(b) != Magic:
		return Record[F]{}, fmt.Errorf("parse record: magic %#x, want %#x", little.Uint32(b), Magic)
	case little.Uint16(b[4:]) != recordVersion:
		return Record[F]{}, fmt.Errorf("parse record: version %d, want %d", little.Uint16(b[4:]), recordVersion)
	case uint64(little.Uint32(b[8:])) != uint64(len(b)):
		return Record[F]{}, fmt.Errorf("parse record: header says %d bytes, got %d", little.Uint32(b[8:]), len(b))
	case little.Uint16(b[14:]) != 0:
		return Record[F]{}, fmt.Errorf("parse record: reserved bytes are %#x, want 0", little.Uint16(b[14:]))
	case count > MaxFields:
		return Record[F]{}, fmt.Errorf("parse record: %d fields, want at most %d", count, MaxFields)
	case headerBytes+count*entryBytes > len(b):
		return Record[F]{}, fmt.Errorf("parse record: table of %d fields is longer than the record of %d bytes", count, len(b))
	}
	r := Record[F]{b: b}
	last := -1
	for i := range count {
		entry := b[headerBytes+i*entryBytes:][:entryBytes:entryBytes]
		id := F(little.Uint16(entry))
		if int(id) <= last {
			return Record[F]{}, fmt.Errorf("parse record: field %d after field %d: ids must ascend", uint16(id), last)
		}
		last = int(id)
		start, length := uint64(little.Uint32(entry[4:])), uint64(little.Uint32(entry[8:]))
		if start+length > uint64(len(b)) {
			return Record[F]{}, fmt.Errorf("parse record: field %v: %d bytes at %d are out of the record of %d bytes", id, length, start, len(b))
		}
		want := id.Type()
		if want == 0 {
			continue
		}
		if got := Type(little.Uint16(entry[2:])); got != want {
			return Record[F]{}, fmt.Errorf("parse record: field %v: type %v, want %v", id, got, want)
		}
		if err := checkData(want, b[start:start+length]); err != nil {
			return Record[F]{}, fmt.Errorf("parse record: field %v: %w", id, err)
		}
		r.set |= 1 << id
	}
	return r, nil
}

// Hook is the hook in the header; 0 for the zero value and for records of capabilities.
func (r Record[F]) Hook() Hook {
	if len(r.b) == 0 {
		return 0
	}
	return Hook(little.Uint16(r.b[12:]))
}

// Has tells whether the field is there, be it empty.
func (r Record[F]) Has(id F) bool { return id < 64 && r.set>>id&1 != 0 }

// Bytes is the data of a field of any type; nil when it is absent, not nil when empty.
func (r Record[F]) Bytes(id F) []byte {
	if !r.Has(id) {
		return nil
	}
	for entry := r.b[headerBytes:]; ; entry = entry[entryBytes:] {
		if F(little.Uint16(entry)) == id {
			start, length := little.Uint32(entry[4:]), little.Uint32(entry[8:])
			return r.b[start : start+length : start+length]
		}
	}
}

// Uint is a number; false when it is absent.
func (r Record[F]) Uint(id F) (v uint64, ok bool) {
	if r.Has(id) && id.Type() == TypeU64 {
		return little.Uint64(r.Bytes(id)), true
	}
	return 0, false
}

// Pairs is a list of pairs; empty when the field is absent.
func (r Record[F]) Pairs(id F) Pairs { return Pairs(r.typed(id, TypePairs)) }

// Value is a value template; false when the field is absent.
func (r Record[F]) Value(id F) (v Value, ok bool) {
	v = Value(r.typed(id, TypeValue))
	return v, v != nil
}

// Values is a list of value templates; empty when the field is absent.
func (r Record[F]) Values(id F) Values { return Values(r.typed(id, TypeValues)) }

// Edits is a list of edits; empty when the field is absent.
func (r Record[F]) Edits(id F) Edits { return Edits(r.typed(id, TypeEdits)) }

// Buckets is a list of buckets; empty when the field is absent.
func (r Record[F]) Buckets(id F) Buckets { return Buckets(r.typed(id, TypeBuckets)) }

// Names is a list of names; empty when the field is absent.
func (r Record[F]) Names(id F) Names { return Names(r.typed(id, TypeNames)) }

// typed is the data of a field that has that type: a list type over data that were
// checked as another would read out of bounds.
func (r Record[F]) typed(id F, t Type) []byte {
	if id.Type() != t {
		return nil
	}
	return r.Bytes(id)
}

// Fields is the known fields that are there, in ascending order.
func (r Record[F]) Fields(yield func(F) bool) {
	for id := F(0); id < 64; id++ {
		if r.Has(id) && !yield(id) {
			return
		}
	}
}
