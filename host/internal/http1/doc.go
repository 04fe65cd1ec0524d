// Package http1 is the syntax of HTTP/1.1, read strictly and written canonically
// (RFC 9112, and what RFC 9110 says of fields, methods, targets and trailers).
//
// The door (listen) reads requests and writes answers with it, the upstream client
// (forward) writes requests and reads answers. It knows bytes and buffers, no sockets,
// no timeouts, no routes.
//
// It refuses what two readers could understand differently, whoever is right: two
// framings, repeated or odd Content-Length, codings other than chunked, a bare CR or
// LF, folded lines, control bytes, blanks around names, a missing, doubled or odd Host,
// malformed chunks, trailers that mean something before the body. Each refusal is a
// [Refusal] that names its section. What it accepts is understood by net/http and
// fasthttp in the same way; the tests hold them against each other.
//
// Start with [Request.Parse], then [Reader], which feeds it from a connection, and
// [Body]. [RequestHead] and [ResponseHead] are the writers. None of them allocates
// when everything goes well.
package http1
