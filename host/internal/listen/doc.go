// Package listen is the door: it accepts connections, speaks TLS, HTTP/1.1 and HTTP/2,
// and hands every request as an [exchange.Exchange] to one handler, which does not see
// what brought it.
//
// It answers for RFC 9112 section 9 (connections, pipelining, persistence, closing), RFC
// 9110 sections 7.8 (no upgrades), 10.1.1 (Expect) and 15.2 (1xx); the syntax of
// HTTP/1.1 is http1's, and HTTP/2 is package http2's. It refuses whatever http1 refuses,
// requests and peers beyond [Limits], and those slower than [Timeouts]. After a refusal
// the connection ends. The plain listener redirects to HTTPS and answers ACME's http-01,
// nothing else.
//
// A connection is a goroutine; between requests it holds no buffer. No timer is set per
// request: each connection notes in one word until when its current phase may last, and
// one goroutine, the warden, looks at all of them and ends those that are late. It also
// notices clients that left while their request is being answered.
//
// Goroutines: one per listener (accept), one per connection, the warden, one per running
// HTTP/2 stream. [Server.Serve] starts and waits for all of them.
//
// Start with [New], then conn.go, http1.go, http2.go.
package listen
