package guest

import "github.com/tetratelabs/wazero/api"

// linear is the memory of one instance.
type linear struct {
	extent
	size    uint64 // that the guest has
	limit   uint64
	refused bool // the guest asked for more than the limit
	back    bool // Reallocate gives size bytes, whatever it is asked for
	scan    *scan
}

// Reallocate makes size bytes usable; nil is the answer to a guest that asks for too much.
func (l *linear) Reallocate(size uint64) []byte {
	if !l.back {
		if size > l.limit || !l.extend(size) {
			l.refused = true
			return nil
		}
		l.size = size
	}
	return l.reserved[:l.size:l.size]
}

// shrink takes from the guest what it has beyond size. wazero knows no such thing: it is
// asked to grow and gets less. False says that it could not be asked, since the memory is as
// large as the module ever lets it become.
func (l *linear) shrink(m api.Memory, size uint64) bool {
	l.size, l.back = size, true
	_, ok := m.Grow(1)
	l.back = false
	return ok && m.Size() == uint32(size)
}
