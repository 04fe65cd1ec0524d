package listen

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// lot is where connections wait without a goroutine: an epoll instance of its own, in
// which each is watched until its first bytes come. It is safe for concurrent use.
type lot struct {
	file *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu    sync.Mutex
	conns map[uint64]*conn // by the number that epoll knows them by
	next  uint64
}

// removed is the place of a connection that has none any more.
const removed = ^uint64(0)

// newLot makes a lot; close ends it.
func newLot() (*lot, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // the runtime's poller then waits for it
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &lot{file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{}), conns: make(map[uint64]*conn)}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, err
	}
	go l.run() // ends by close, which waits for it
	return l, nil
}

// add watches a parked connection; false when it cannot.
func (l *lot) add(c *conn) bool {
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	l.mu.Lock()
	op := unix.EPOLL_CTL_MOD
	switch c.place {
	case removed:
		l.mu.Unlock()
		return false
	case 0:
		op = unix.EPOLL_CTL_ADD
		l.next++
		c.place = l.next
	}
	l.conns[c.place] = c
	place := c.place
	l.mu.Unlock()
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(place), Pad: int32(place >> 32)}
	var failed error
	if raw.Control(func(fd uintptr) { // not closed meanwhile, so that it is still ours
		err = l.raw.Control(func(epoll uintptr) { failed = unix.EpollCtl(int(epoll), op, int(fd), &event) })
	}) != nil || err != nil {
		return false
	}
	return failed == nil
}

// remove forgets a connection that is about to be closed.
func (l *lot) remove(c *conn) {
	l.mu.Lock()
	delete(l.conns, c.place)
	c.place = removed
	l.mu.Unlock()
}

// run starts a goroutine for each connection that has something to read.
func (l *lot) run() {
	defer close(l.done)
	events := make([]unix.EpollEvent, 256)
	for {
		n := 0
		err := l.raw.Read(func(epoll uintptr) bool {
			var err error
			if n, err = unix.EpollWait(int(epoll), events, 0); err != nil {
				n = 0 // EINTR; a closed descriptor ends Read itself
			}
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			l.mu.Lock()
			c := l.conns[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]
			l.mu.Unlock()
			if c != nil {
				c.unpark()
			}
		}
	}
}

// close ends the lot, which has no connections any more.
func (l *lot) close() {
	l.file.Close()
	<-l.done
}
