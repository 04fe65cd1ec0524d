//go:build !unix

package socket

// Silent tells whether there is nothing to read; here it cannot be known without waiting.
func (s *Conn) Silent() bool { return true }
