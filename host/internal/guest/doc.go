// Package guest runs plugins: it compiles a Wasm module once ([Engine.Compile]), binds it
// with a config and grants to a policy ([Engine.Bind]) and runs the policy's hooks
// ([Policy.Call]), each call in an instance of its own for as long as it lasts.
//
// A guest is hostile. What it can cost is bounded: CPU and native stack by rewriting the
// module (package fuel), memory by a cap on each instance, outbound calls by their
// deadlines, the number of instances by the pool. What it can do is its import section: one
// import a power, and an import that is unknown or not granted refuses the module at load.
// WASI is served as inert shims for language runtimes: output goes to the log, the clock
// and randomness are those of the request's record, everything else is an errno.
//
// A trap costs the call that trapped: its instance is closed and never used again. A guest
// is never called from inside a host call. Results are read within bounds or refused.
//
// All policies share one wazero runtime and one compiled module for each digest. Modules
// and instances are counted and closed by their owners, never by finalizers.
//
// Refused at load: modules that package fuel refuses, that do not keep the contract of
// abi/v1 or are not what their manifest says; configs that the manifest's schema or the
// guest refuses.
package guest
