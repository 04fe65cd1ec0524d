// Package forward calls upstreams over HTTP/1.1, plain or TLS.
//
// [Forwarder.Upstream] names an upstream and gives its pool of kept connections;
// [Forwarder.Do] sends one exchange there and fills its response. Bodies and trailers
// stream both ways at the pace of the slower side. Small answers are read whole, so that
// their connection is free before the client has taken them.
//
// It trusts no upstream: an answer is read by the rules of http1, and after anything odd,
// a body cut short, a byte too many, or an answer that came before the request was out, the
// connection is closed and never used again. What it sends is written anew by http1: one
// framing, one Host, no hop-by-hop field.
//
// It refuses addresses. Link-local and cloud metadata addresses are never dialled; a
// [Target] whose host was computed at request time reaches loopback, private and other
// special addresses only where Options.Allow says so. The check is on the address that is
// dialled, after resolution, so that no name can turn into another address later (DNS
// rebinding), and sees through IPv4 written as IPv6.
//
// It repeats a request only when that cannot do harm: a kept connection turned out to be
// closed before a byte of answer came, the method is idempotent (RFC 9110 9.2.2) and the
// body is in memory; once, within a budget for all.
//
// Who has many connections to an upstream leaves some to others: see shares.
//
// Upgrades are refused (101 is a broken answer, 502). Expect is not forwarded: reading
// the client's body is what makes the door answer 100.
//
// Goroutines: one janitor a Forwarder (Close waits for it); one an address while dialling
// (dial waits); one reader while a long body is sent (the call waits).
package forward
