// Package cases reads the corpus of raw messages in http1/testdata; for tests only.
//
// A file holds many cases. A case is a name, the bytes on the wire and the verdict:
//
//	== both framings
//	< POST / HTTP/1.1\r\n
//	< Host: a\r\n
//	< Content-Length: 5\r\n
//	< Transfer-Encoding: chunked\r\n
//	< \r\n
//	> 400 RFC 9112 6.1
//
// Lines that start with "< " are joined without their line ends; \r \n \t \0 \\ and
// \xNN mean what they mean in Go, and \*N(text) repeats text N times. The verdict is a
// status with its section, or "ok" followed by method, authority, path with query, and
// optionally the body as a Go string and the word close; what makes an accepted message
// good stands beside its name, "== two fields | RFC 9110 5.3". Further "> " lines are the
// fields that reach the upstream, all of them, then after "> --" the trailers; a repeated
// text that ends in \n is so many fields. For answers the accepted line is the status
// alone, and "? HEAD" names the request's method. A line that starts with # is a comment.
// Start with [Load].
package cases
