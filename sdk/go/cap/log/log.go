// Package log writes lines to the gateway's log. Lines over 1024 bytes are cut, and
// those over 100 a second from one policy are counted and dropped. Never log a secret.
package log

// Debug writes a line of that level; so do the functions below.
func Debug(line string) { write(0, line) }

// Info writes a line.
func Info(line string) { write(1, line) }

// Warn writes a line.
func Warn(line string) { write(2, line) }

// Error writes a line.
func Error(line string) { write(3, line) }
