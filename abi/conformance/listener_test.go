package conformance

import "net"

// listener is an upstream's that nobody connects to.
type listener struct{ net.Listener }

// Addr is where an upstream might be.
func (listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
