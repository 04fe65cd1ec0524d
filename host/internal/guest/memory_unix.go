//go:build unix

package guest

import "golang.org/x/sys/unix"

// extent is mapped outside the Go heap: it never moves when the memory grows, costs nothing
// before it is touched, and is given back when the instance is closed.
type extent struct {
	reserved []byte
	usable   uint64
}

// reserve takes addresses for the most that the memory may become.
func (e *extent) reserve(most uint64) (err error) {
	e.reserved, err = unix.Mmap(-1, 0, int(max(most, 1)), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	return err
}

// extend makes the first size bytes usable.
func (e *extent) extend(size uint64) bool {
	if size > uint64(len(e.reserved)) {
		return false
	}
	if size > e.usable {
		if err := unix.Mprotect(e.reserved[e.usable:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return false
		}
		e.usable = size
	}
	return true
}

// Free gives the memory back. Nothing may read it afterwards.
func (e *extent) Free() {
	if e.reserved != nil {
		_ = unix.Munmap(e.reserved) // it was mapped by reserve
		e.reserved = nil
	}
}
