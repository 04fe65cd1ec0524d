// Package examples holds plugins written with the Go SDK, a folder each: hello is the
// smallest, full takes part in every hook, introspect uses every power. Its tests build
// them for Wasm, read their sections, and run their case files.
package examples
