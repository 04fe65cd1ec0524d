// Package abi is version 1 of the contract between the gateway and its plugins: the
// numbered hooks, fields and capabilities, the flat record that crosses the sandbox
// in either direction, and the manifest that a plugin carries.
//
// The contract for people is README.md beside this file; abi.json is its only source,
// from which the constants here, those of the SDKs and README's tables are generated.
//
// The host writes a request with [Writer] and reads what the guest returned with
// [ParseResult]; neither allocates. A record is refused whole when anything in it is
// out of bounds, out of order, of the wrong type or over a limit, so that reading a
// parsed record cannot fail. The package knows nothing of Wasm engines or HTTP.
package abi

//go:generate go run ./gen
