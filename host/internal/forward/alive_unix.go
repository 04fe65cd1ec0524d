//go:build unix

package forward

import "syscall"

// look peeks at a kept connection: nothing must be there to read, neither an end nor
// bytes that nobody asked for, which would be taken for the next answer.
func look(fd uintptr) (silent bool) {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN || err == syscall.EINTR
}
