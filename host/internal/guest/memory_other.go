//go:build !unix

package guest

// extent is on the Go heap.
type extent struct{ reserved []byte }

func (e *extent) reserve(uint64) error { return nil }

// extend makes the first size bytes usable.
func (e *extent) extend(size uint64) bool {
	if size > uint64(len(e.reserved)) {
		grown := make([]byte, size)
		copy(grown, e.reserved)
		e.reserved = grown
	}
	return true
}

// Free gives the memory back.
func (e *extent) Free() { e.reserved = nil }
