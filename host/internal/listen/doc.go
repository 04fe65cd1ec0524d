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
// A connection is a goroutine as long as it is busy. One that has been idle for half a
// second gives up buffers, exchange and goroutine and is parked: on Linux in an epoll of its
// own, the lot, which starts a goroutine when bytes come; elsewhere it keeps the goroutine.
// No timer is set per request: each connection notes in one word until when its current
// phase may last, and one goroutine, the warden, looks at all of them, parks those that are
// idle and ends those that are late. It also notices clients that left while their request
// is being answered.
//
// A load balancer that is trusted with it tells the client's address by the PROXY protocol
// (versions 1 and 2); from everybody else that is a bad TLS hello.
//
// Goroutines: one per listener (accept), one per connection that is not parked, the lot,
// the warden, one per running HTTP/2 stream. [Server.Serve] starts and waits for all of them.
//
// Start with [New], then conn.go, http1.go, http2.go, park.go.
package listen
