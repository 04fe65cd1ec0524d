// Package signature reads, makes and judges signatures of plugins: Ed25519 in the form of
// minisign, so that the program of that name signs and verifies them too.
//
// A signature is a short text beside the module (x.wasm.minisig). It covers the module's
// original bytes, or their BLAKE2b hash, and a trusted comment, which here may carry the
// plugin's id and version. [Rules] are what the operator wrote: who may sign which plugins,
// and what may come unsigned from where. Refused: a signature that does not fit, whatever
// else is allowed; a key that may not sign this id; an id that no rule names; a trusted
// comment that speaks of another id or version than the module does.
//
// A key is trusted because the operator wrote it down and for nothing else: none is ever
// learnt from a plugin or its source.
//
// Start at [Rules.Check].
package signature
