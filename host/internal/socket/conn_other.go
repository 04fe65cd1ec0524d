//go:build !linux

package socket

import "net"

// Conn is a TCP connection. One goroutine at a time may read and one may write; the other
// methods are those of [net.TCPConn], safe for concurrent use. [New] makes one.
type Conn struct{ *net.TCPConn }

// New makes a Conn of c, which it then owns.
func New(c *net.TCPConn) (*Conn, error) { return &Conn{c}, nil }

// Exchange sends a request, out, and reads the beginning of its answer into in. With
// [ErrStale] nothing was sent. sent is what of out has left, also on an error.
func (s *Conn) Exchange(out, in []byte) (sent, n int, err error) {
	if !s.Silent() {
		return 0, 0, ErrStale
	}
	if sent, err = s.Write(out); err != nil {
		return sent, 0, err
	}
	n, err = s.Read(in)
	return sent, n, err
}
