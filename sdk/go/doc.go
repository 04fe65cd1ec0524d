// Package wasmgate is the Go SDK for plugins of the Wasmgate API gateway.
//
// A plugin imports one package for each hook it takes part in (authorize, guard,
// throttle, ...): that package's import is what makes the module export the hook. It
// imports one package for each power it needs (cap/kv, cap/http, ...): that package's
// import is what puts the power into the module's import section, where a reviewer
// reads it. This package holds what they share: [Request], [Value], [Answer], [Hold].
//
// A guest is one goroutine's: handlers never run at the same time. Strings and bytes
// from a [Request] alias the scratch area and hold until the handler returns; who keeps
// one clones it. A handler that panics traps: the host throws the guest away and
// answers as the policy's on_error says, so nothing here recovers.
//
// Outside of GOOS=wasip1 the same code compiles for tests: see [Call] and [SetNative].
// Start with README.md and examples/hello.
package wasmgate
