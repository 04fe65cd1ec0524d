//go:build !race

package socket

import (
	"syscall"
	"unsafe"
)

const (
	receiving = syscall.SYS_RECVFROM
	sending   = syscall.SYS_SENDTO
)

// transfer makes one recvfrom or sendto, which know that it is a socket where read and write
// ask the file system first. It does not block, so that the scheduler need not know of it.
func transfer(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}
