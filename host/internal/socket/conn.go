package socket

import (
	"errors"
	"net"
)

// ErrStale says that a kept connection cannot be used: its peer has closed it or has sent
// what nobody asked for, which would be taken for the next answer. Nothing was sent.
var ErrStale = errors.New("the kept connection was closed, or bytes came that nobody asked for")

// Wrap makes a [Conn] of a TCP connection; any other comes back as it is.
func Wrap(c net.Conn) net.Conn {
	if t, ok := c.(*net.TCPConn); ok {
		if w, err := New(t); err == nil {
			return w
		}
	}
	return c
}
