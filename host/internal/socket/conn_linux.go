package socket

import (
	"io"
	"net"
	"os"
	"syscall"
)

// Conn is a TCP connection. One goroutine at a time may read and one may write; the other
// methods are those of [net.TCPConn], safe for concurrent use. [New] makes one.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn
	in  half   // of who reads
	out half   // of who writes
	ask []byte // what Exchange has still to send
	try func(fd uintptr) bool
}

// half is one direction: what the callback of a syscall.RawConn, which is made once, works on.
type half struct {
	p     []byte
	n     int
	errno syscall.Errno
	call  func(fd uintptr) bool
}

// New makes a Conn of c, which it then owns.
func New(c *net.TCPConn) (*Conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Conn{TCPConn: c, raw: raw}
	s.in.call, s.out.call, s.try = s.receive, s.send, s.exchange
	return s, nil
}

func (s *Conn) receive(fd uintptr) (done bool) {
	s.in.n, s.in.errno = transfer(receiving, fd, s.in.p)
	return s.in.errno != syscall.EAGAIN
}

// Read implements net.Conn.
func (s *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in.p = p
	err := s.raw.Read(s.in.call)
	s.in.p = nil
	return s.received(err)
}

// received is the outcome of what was read into in.
func (s *Conn) received(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case s.in.errno != 0:
		return 0, s.failed("read", s.in.errno)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

func (s *Conn) failed(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}

// maxWrite is the most that one call writes: the kernel copies it while nothing else runs
// on this processor.
const maxWrite = 64 << 10

func (s *Conn) send(fd uintptr) (done bool) {
	for {
		p := s.out.p[s.out.n:]
		n, errno := transfer(sending, fd, p[:min(len(p), maxWrite)])
		if s.out.errno = errno; errno != 0 {
			return errno != syscall.EAGAIN
		}
		if s.out.n += n; s.out.n == len(s.out.p) {
			return true
		}
	}
}

// Write implements net.Conn.
func (s *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.out.p, s.out.n, s.out.errno = p, 0, 0
	err := s.raw.Write(s.out.call)
	s.out.p = nil
	if err == nil && s.out.errno != 0 {
		err = s.failed("write", s.out.errno)
	}
	return s.out.n, err
}

// Exchange sends a request, out, and reads the beginning of its answer into in. With
// [ErrStale] nothing was sent. It returns early, with nothing read and no error, when the kernel does
// not take all of out at once: the rest is for Write, the answer for Read. It may be
// called when nobody writes. sent is what of out has left, also on an error.
func (s *Conn) Exchange(out, in []byte) (sent, n int, err error) {
	s.ask, s.in.p = out, in
	err = s.raw.Read(s.try)
	sent = len(out) - len(s.ask)
	stale := sent == 0 && s.in.errno == syscall.EPROTO
	begun := len(s.ask) == 0
	s.ask, s.in.p = nil, nil
	switch {
	case err != nil:
		return sent, 0, err
	case stale:
		return 0, 0, ErrStale
	case !begun && s.in.errno == 0:
		return sent, 0, nil
	}
	n, err = s.received(nil)
	return sent, n, err
}

// exchange is called again and again until it is done, with a wait for something to read
// before each call but the first. What comes once the first has begun ends that wait: the
// answer cannot be missed, and is not looked for before it can be there.
func (s *Conn) exchange(fd uintptr) (done bool) {
	if len(s.ask) == 0 {
		return s.receive(fd)
	}
	if s.in.n, s.in.errno = transfer(receiving, fd, s.in.p); s.in.errno != syscall.EAGAIN {
		s.in.errno = syscall.EPROTO // closed, or bytes that nobody asked for
		return true
	}
	s.in.n = 0
	n, errno := transfer(sending, fd, s.ask[:min(len(s.ask), maxWrite)])
	if s.in.errno = errno; errno == syscall.EAGAIN {
		n, s.in.errno = 0, 0 // Write waits for room
	} else if errno != 0 {
		return true
	}
	s.ask = s.ask[n:]
	return len(s.ask) > 0
}
