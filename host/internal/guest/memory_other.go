//go:build !unix

package guest

// linear is the memory of one instance, on the Go heap.
type linear struct {
	reserved []byte
	limit    uint64
	refused  bool // the guest asked for more than the limit
}

func (l *linear) reserve(uint64) error { return nil }

// Reallocate gives size bytes; nil is the answer to a guest that asks for too much.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.limit {
		l.refused = true
		return nil
	}
	if size > uint64(cap(l.reserved)) {
		grown := make([]byte, size, min(2*size, l.limit))
		copy(grown, l.reserved)
		l.reserved = grown
	}
	l.reserved = l.reserved[:size]
	return l.reserved
}

// Free gives the memory back.
func (l *linear) Free() { l.reserved = nil }
