package abi

import "math"

// The lists below are the checked data of a field of a [Record], in the record's own
// bytes. Each may be cloned with slices.Clone to outlive the record. The zero value is
// empty. Bytes from elsewhere must not be turned into them: All would panic.

// Pairs is a list of names and values; order and duplicates are kept.
type Pairs []byte

// Len is the number of pairs.
func (p Pairs) Len() int { return listLen(p) }

// All is every pair, in order.
func (p Pairs) All(yield func(name, value []byte) bool) {
	rest := items(p)
	for len(rest) > 0 {
		n, v := little.Uint32(rest), little.Uint32(rest[4:])
		rest = rest[8:]
		if !yield(rest[:n:n], rest[n:n+v:n+v]) {
			return
		}
		rest = rest[n+v:]
	}
}

// Value is a value template: literals and selectors, which the host joins for each request.
type Value []byte

// Part is one part of a value: a literal when Selector is 0.
type Part struct {
	Selector Selector
	// Text is the literal, or the selector's argument; nil for a selector without one.
	Text []byte
}

const selectorBit = 1 << 31

// Parts is every part, in order.
func (v Value) Parts(yield func(Part) bool) {
	for rest := []byte(v); len(rest) > 0; {
		head := little.Uint32(rest)
		n := head &^ selectorBit
		part := Part{Text: rest[4 : 4+n : 4+n]}
		if head&selectorBit != 0 {
			part.Selector, part.Text, _ = ParseSelector(part.Text)
		}
		if !yield(part) {
			return
		}
		rest = rest[4+n:]
	}
}

// Literal appends a literal to v.
func (v Value) Literal(text string) Value {
	return append(little.AppendUint32(v, uint32(len(text))), text...)
}

// Select appends a selector, such as header.x-api-key, to v; whether it is known shows
// when the record is parsed.
func (v Value) Select(selector string) Value {
	return append(little.AppendUint32(v, uint32(len(selector))|selectorBit), selector...)
}

// Values is a list of value templates.
type Values []byte

// Len is the number of values.
func (v Values) Len() int { return listLen(v) }

// All is every value, in order.
func (v Values) All(yield func(Value) bool) {
	Names(v).All(func(b []byte) bool { return yield(b) })
}

// Names is a list of byte strings.
type Names []byte

// Len is the number of names.
func (n Names) Len() int { return listLen(n) }

// All is every name, in order.
func (n Names) All(yield func([]byte) bool) {
	rest := items(n)
	for len(rest) > 0 {
		l := little.Uint32(rest)
		if !yield(rest[4 : 4+l : 4+l]) {
			return
		}
		rest = rest[4+l:]
	}
}

// Edit is one change of a request or response.
type Edit struct {
	Op Op
	// Name is the header, parameter or context key; empty for an operation without one.
	Name []byte
	// Value is the new value; empty for a removal.
	Value Value
}

// Edits is a list of edits, to be applied in order.
type Edits []byte

const editHead = 12

// Len is the number of edits.
func (e Edits) Len() int { return listLen(e) }

// All is every edit, in order.
func (e Edits) All(yield func(Edit) bool) {
	rest := items(e)
	for len(rest) > 0 {
		n, v := little.Uint32(rest[4:]), little.Uint32(rest[8:])
		edit := Edit{Op: Op(little.Uint16(rest))}
		rest = rest[editHead:]
		edit.Name, edit.Value = rest[:n:n], Value(rest[n:n+v:n+v])
		if !yield(edit) {
			return
		}
		rest = rest[n+v:]
	}
}

// Bucket is one token bucket that a request draws from.
type Bucket struct {
	// Rate is tokens a second, finite and not negative.
	Rate float64
	// Burst is the bucket's size, Cost what this request takes.
	Burst, Cost uint64
	// Name tells buckets of a policy apart, for logs and metrics.
	Name []byte
	// Key makes the bucket's identity; its parts are hashed as a tuple.
	Key Value
}

// Buckets is a list of buckets.
type Buckets []byte

const bucketHead = 32

// Len is the number of buckets.
func (b Buckets) Len() int { return listLen(b) }

// All is every bucket, in order.
func (b Buckets) All(yield func(Bucket) bool) {
	rest := items(b)
	for len(rest) > 0 {
		n, k := little.Uint32(rest[24:]), little.Uint32(rest[28:])
		bucket := Bucket{
			Rate:  math.Float64frombits(little.Uint64(rest)),
			Burst: little.Uint64(rest[8:]),
			Cost:  little.Uint64(rest[16:]),
		}
		rest = rest[bucketHead:]
		bucket.Name, bucket.Key = rest[:n:n], Value(rest[n:n+k:n+k])
		if !yield(bucket) {
			return
		}
		rest = rest[n+k:]
	}
}

func listLen(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	return int(little.Uint32(data))
}

// items is the data after the count.
func items(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	return data[4:]
}
