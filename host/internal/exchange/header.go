package exchange

import "iter"

// Header is an ordered list of fields. Names are lower case; order and duplicates are
// kept. The zero value is empty and ready.
type Header struct {
	fields []Field
	arena  []byte // what Add and Set copied
}

// Field is one header field. Both slices may alias a connection's buffer.
type Field struct{ Name, Value []byte }

// Len is the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// At is the field at i; panics when out of range.
func (h *Header) At(i int) Field { return h.fields[i] }

// All is every field, in order.
func (h *Header) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range h.fields {
			if !yield(f.Name, f.Value) {
				return
			}
		}
	}
}

// Get is the first value of name, which is lower case; nil when absent, not nil when empty.
func (h *Header) Get(name string) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; string(f.Name) == name {
			if f.Value == nil {
				return []byte{}
			}
			return f.Value
		}
	}
	return nil
}

// Has tells whether there is a field of that lower-case name.
func (h *Header) Has(name string) bool { return h.Get(name) != nil }

// Values is every value of name, which is lower case, in order.
func (h *Header) Values(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range h.fields {
			if string(h.fields[i].Name) == name && !yield(h.fields[i].Value) {
				return
			}
		}
	}
}

// AppendAlias appends a field without copying: name, lower case, and value must stay
// unchanged as long as h is used.
func (h *Header) AppendAlias(name, value []byte) {
	h.fields = append(h.fields, Field{name, value})
}

// AppendCopy appends a copy of a field; name is lower case.
func (h *Header) AppendCopy(name, value []byte) {
	start := len(h.arena)
	h.arena = append(append(h.arena, name...), value...)
	end := start + len(name)
	h.fields = append(h.fields, Field{h.arena[start:end:end], h.arena[end:len(h.arena):len(h.arena)]})
}

// Add appends a copy of a field; name is lower case.
func (h *Header) Add(name, value string) {
	h.fields = append(h.fields, Field{h.copy(name), h.copy(value)})
}

// AddBytes is Add for a value in bytes.
func (h *Header) AddBytes(name string, value []byte) {
	n := h.copy(name)
	start := len(h.arena)
	h.arena = append(h.arena, value...)
	h.fields = append(h.fields, Field{n, h.arena[start:len(h.arena):len(h.arena)]})
}

// Set replaces all values of name, lower case, by one, in the place of the first.
func (h *Header) Set(name, value string) {
	kept, found := h.fields[:0], false
	for _, f := range h.fields {
		if string(f.Name) == name {
			if found {
				continue
			}
			found, f.Value = true, h.copy(value)
		}
		kept = append(kept, f)
	}
	h.fields = kept
	if !found {
		h.Add(name, value)
	}
}

// Del removes all values of name, lower case.
func (h *Header) Del(name string) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if string(f.Name) != name {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// DeleteFunc removes every field for which del is true.
func (h *Header) DeleteFunc(del func(name, value []byte) bool) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if !del(f.Name, f.Value) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// CopyTo appends copies of all fields to dst.
func (h *Header) CopyTo(dst *Header) {
	for _, f := range h.fields {
		dst.AppendCopy(f.Name, f.Value)
	}
}

// Reset empties h and keeps its memory.
func (h *Header) Reset() {
	clear(h.fields)
	h.fields = h.fields[:0]
	if cap(h.arena) > 16<<10 {
		h.arena = nil
	}
	h.arena = h.arena[:0]
}

func (h *Header) copy(s string) []byte {
	start := len(h.arena)
	h.arena = append(h.arena, s...)
	return h.arena[start:len(h.arena):len(h.arena)]
}
