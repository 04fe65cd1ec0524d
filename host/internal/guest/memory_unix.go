//go:build unix

package guest

import "golang.org/x/sys/unix"

// linear is the memory of one instance, mapped outside the Go heap: it never moves when it
// grows, costs nothing before it is touched, and is given back when the instance is closed.
type linear struct {
	reserved []byte
	usable   uint64
	limit    uint64
	refused  bool // the guest asked for more than the limit
}

// reserve takes addresses for the most that the memory may become.
func (l *linear) reserve(most uint64) (err error) {
	l.reserved, err = unix.Mmap(-1, 0, int(max(min(most, l.limit), 1)), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	return err
}

// Reallocate makes size bytes usable; nil is the answer to a guest that asks for too much.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.reserved)) || size > l.limit {
		l.refused = true
		return nil
	}
	if size > l.usable {
		if err := unix.Mprotect(l.reserved[l.usable:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			l.refused = true
			return nil
		}
		l.usable = size
	}
	return l.reserved[:size:size]
}

// Free gives the memory back. Nothing may read it afterwards.
func (l *linear) Free() {
	if l.reserved != nil {
		_ = unix.Munmap(l.reserved) // it was mapped by reserve
		l.reserved = nil
	}
}
