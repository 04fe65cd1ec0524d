// Package examples holds plugins written with the Go SDK, a folder each: hello is the
// smallest, full takes part in every hook and uses every power, introspect is a real task.
// Its tests build them for Wasm, read their sections, and run their case files.
package examples
