// Package wasmtest assembles Wasm modules in tests, so that hostile guests need no
// toolchain. It checks nothing: what it writes is as valid as what it was given.
// Start with [Module].
package wasmtest
