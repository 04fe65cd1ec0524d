// Package tls keeps the certificates of the HTTPS listener and chooses one for each
// handshake.
//
// They come from one of three sources ([Mode]): a certificate authority of our own that
// is made once (internal), files that are read again when they change (files), or an
// ACME authority (acme, RFC 8555), where certmagic stores and renews and acmez speaks
// the protocol. The challenges tls-alpn-01 (RFC 8737) and http-01 are answered on the
// gateway's own listeners, never on ports opened here, and nothing is kept in
// certmagic's process-wide state: two hosts in one process do not meet.
//
// A handshake for a name that is not served ends with unrecognized_name in the modes
// internal and acme: a certificate that was made for any name a stranger asks for would
// be a way to fill memory, and one that does not match teaches people to click warnings
// away. In the mode files the first pair answers. A name that waits for its first ACME
// certificate ends the same way and is listed with the reason in [Manager.Status].
//
// Not here: client certificates, dns-01 (so no ACME wildcards), OCSP stapling (a fetch
// at load would hold the start while the authority is down).
//
// Start at [New].
package tls
