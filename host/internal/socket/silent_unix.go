//go:build unix

package socket

import "syscall"

// Silent tells whether there is nothing to read: neither an end of the connection nor a byte.
func (s *Conn) Silent() (silent bool) {
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return err == nil && silent
}
