// Package exchange holds one request and its response on their way through the
// gateway, whatever protocol brought the request.
//
// listen fills an [Exchange] and hands it up; everything above (route, hooks,
// cache, forward) reads and changes it, and knows neither the protocol version
// nor the server. Before that the head was read once, strictly, by http1 or
// http2: what stands in an Exchange is unambiguous (RFC 9110, RFC 9112, RFC 9113).
//
// An Exchange belongs to one goroutine at a time.
package exchange
