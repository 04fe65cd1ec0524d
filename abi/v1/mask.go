package abi

import (
	"iter"
	"math/bits"
)

// Mask says what a hook wants to know, so that nothing else is copied. The zero value
// wants nothing. A Mask is not changed once it is made and safe for concurrent use.
type Mask struct {
	// Fields are the fields wanted; body and response_body are among them when their
	// modes are not none.
	Fields FieldSet
	// Headers, QueryParams and ResponseHeaders are the names wanted of those fields, nil
	// for all; header names are lower case.
	Headers, QueryParams, ResponseHeaders []string
	// Body is how much of the request's body is wanted, ResponseBody of the response's.
	Body, ResponseBody BodyNeed
}

// BodyNeed is how much of a body a hook wants. The zero value is nothing.
type BodyNeed struct {
	Mode BodyMode
	// Max is in bytes: the prefix's length, or the longest full body; 0 for mode none.
	Max int
}

// FieldSet is a set of request fields: bit n for field n.
type FieldSet uint64

// Has tells whether f is in the set.
func (s FieldSet) Has(f Field) bool { return f < 64 && s>>f&1 != 0 }

// Len is the number of fields.
func (s FieldSet) Len() int { return bits.OnesCount64(uint64(s)) }

// All is every field of the set, in ascending order.
func (s FieldSet) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(Field(bits.TrailingZeros64(uint64(s)))) {
				return
			}
		}
	}
}

// Has tells whether the hook wants the field.
func (m *Mask) Has(f Field) bool { return m.Fields.Has(f) }

// WantsHeader tells whether the hook wants the request header of that lower-case name.
func (m *Mask) WantsHeader(name []byte) bool {
	return m.Fields.Has(FieldHeaders) && wants(m.Headers, name)
}

// WantsQueryParam tells whether the hook wants the query parameter of that name.
func (m *Mask) WantsQueryParam(name []byte) bool {
	return m.Fields.Has(FieldQueryParams) && wants(m.QueryParams, name)
}

// WantsResponseHeader tells whether the hook wants the response header of that
// lower-case name.
func (m *Mask) WantsResponseHeader(name []byte) bool {
	return m.Fields.Has(FieldResponseHeaders) && wants(m.ResponseHeaders, name)
}

func wants(names []string, name []byte) bool {
	if names == nil {
		return true
	}
	for _, n := range names {
		if n == string(name) {
			return true
		}
	}
	return false
}

// lastDefaultField is the last field that there was when the contract became FINAL.
const lastDefaultField = FieldIntegration

// DefaultMask is the mask of a hook of a module without a manifest: every field of the
// hook that the contract had when it became FINAL, and the first 64 KiB of its bodies.
// What was added later must be asked for: a guest that was compiled before may have no
// room for it. For configure it is the mask of every module.
func DefaultMask(h Hook) Mask {
	var m Mask
	for f := range lastDefaultField + 1 {
		if f.In(h) {
			m.Fields |= 1 << f
		}
	}
	need := BodyNeed{BodyPrefix, DefaultBodyBytes}
	if m.Has(FieldBody) {
		m.Body = need
	}
	if m.Has(FieldResponseBody) {
		m.ResponseBody = need
	}
	return m
}
