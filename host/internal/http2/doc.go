// Package http2 is the HTTP/2 side of the door (RFC 9113): it serves connections that
// listen has accepted and on which TLS has agreed on "h2", and hands every request as an
// [exchange.Exchange] to one handler.
//
// It refuses whatever two readers could understand differently, with a stream error
// PROTOCOL_ERROR and before the handler is asked: upper-case or odd names, control bytes
// and blanks around values, connection-specific fields, pseudo fields that are unknown,
// doubled, missing or late, an authority with userinfo or unlike host, a content-length
// that DATA does not keep. A request never looks complete to the handler before its end
// was seen to be what was announced. What is well-formed and beyond a limit gets an answer
// (413, 414, 417, 431, 501).
//
// Whatever a client does costs it more than us: windows reopen only as the handler reads,
// a stream that was reset counts until its handler has returned (CVE-2023-44487,
// CVE-2025-8671), a budget per connection pays for every frame that makes work and moves
// nothing forward, and what nobody reads is given up in time. Over budget the connection
// ends with ENHANCE_YOUR_CALM.
//
// A connection is one goroutine that reads, which a connection without streams gives up
// when its transport can call it back (see [Transport]), and one of a pool for each running request.
// Nothing is written by a goroutine of its own: answers are appended to one buffer, and
// whoever finds nobody writing writes it, after letting the others run once. Deadlines are
// words that [Server.Tick] looks at; no timer is set per request.
//
// Start with [Server.Serve]. Which file answers for what: conn.go RFC 9113 3.4, 4 and 9.1;
// frames.go and stream.go 5.1 and 6.2 to 6.10; settings.go 6.5; data.go 5.2, 6.1 and 6.9 as
// a receiver; head.go 8.2, 8.3 and RFC 7541 through package hpack; body.go 8.1.1; write.go
// 5.2 and 6.9 as a sender; response.go 8.1 and RFC 9110 15.2; budget.go 10.5; drain.go 6.8.
// Priorities (RFC 9218) are accepted and ignored.
package http2
