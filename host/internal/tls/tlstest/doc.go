// Package tlstest is an ACME authority for tests: Let's Encrypt's Pebble, whole and in the
// test's own process, on loopback. It resolves every name to 127.0.0.1. Start with [Start].
package tlstest
