// Package workbench runs a plugin outside a gateway, on the engine that the gateway has: its
// case files ([Plugin.Run], [Outcome.Check]) and how much they cost ([Plugin.Measure]). It
// is the one way in which cases run as Wasm: tests, wasmgate plugin test, bench and replay.
//
// Each case gets a policy of its own, bound with the case's config, in an instance that
// nothing ran in before. What its capabilities reach is what the case says, and its grants
// are what the case says too: what is not there is not granted. Every capability that the
// module imports gets a grant, since a policy without it cannot be bound; one for which the
// case has no answer reaches nothing.
//
// Nothing leaves the process: no network, no file, no clock. Start with [New].
package workbench
