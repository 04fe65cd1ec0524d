//go:build race

package socket

import "syscall"

const (
	receiving = iota
	sending
)

// transfer goes through package syscall, which tells the race detector that what comes out
// of one socket was put into another before.
func transfer(what, fd uintptr, p []byte) (n int, errno syscall.Errno) {
	for {
		var err error
		if what == receiving {
			n, err = syscall.Read(int(fd), p)
		} else {
			n, err = syscall.Write(int(fd), p)
		}
		if errno, _ = err.(syscall.Errno); errno != syscall.EINTR {
			return n, errno
		}
	}
}
