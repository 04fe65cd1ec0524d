// Package inspect reads what a Wasm module can do and says it in words for who has never seen
// Wasm: powers outside its memory, what it can see of a request, sizes. It does not run it.
// Start with [Read]; [Compare] tells one version from another.
//
// It takes hostile and malformed modules: what cannot be read is said in [Page].Refused, and
// the rest of the page is empty. Texts of the module are bounded by its size; [WriteText] and
// [WriteDiff] show them without control characters, which could rewrite a terminal.
package inspect
