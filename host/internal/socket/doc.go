// Package socket is a TCP connection that costs the fewest system calls and the least of
// the scheduler, for the two ends of a proxied request.
//
// It changes nothing of what a [net.Conn] does. On Linux its system calls do not announce
// themselves to the scheduler: the socket never blocks, and the announcement costs more
// than is won by it. [Conn.Exchange] sends a request and receives the beginning of its answer with
// one call less than Write and Read take, and refuses a connection on which anything came
// before, or which its peer has closed, before a byte of the request is out.
//
// Elsewhere it is the standard library's connection. It starts no goroutine.
package socket
