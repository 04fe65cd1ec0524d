// Package fuel rewrites a Wasm module so that its host can bound what a call costs:
// CPU by a counter of instructions, the native stack by a counter of bytes. wazero has
// neither, and its interruption by context costs up to 25 times on tight loops and does
// not see recursion. Start with [Rewrite].
//
// # Fuel
//
// The module gets a mutable i64 global, exported as [Global]. The host sets it before a
// call; what is left after the call tells the cost. Code subtracts from it at the start of
// functions, at loop heads and where branches of unequal cost part or meet; below zero it
// traps, and the negative global tells exhaustion from any other trap. The same call on
// the same state always costs the same.
//
//	instruction                                     cost
//	nop, block, loop, end, else                     0
//	all other                                       1
//	a round of a loop                               its instructions, and at least 10
//	call_indirect                                   1 + 16, for the callee's first 16
//	memory.fill, memory.copy, memory.init           1 + one for every 8 bytes
//	table.fill, table.copy, table.init              1 + one for every element
//	memory.grow that succeeds                       1 + 8192 for every page
//	table.grow that succeeds                        1 + one for every element
//
// A charge is taken in advance for the code up to the next charge. Where paths part, the
// costlier one is charged as long as the difference is at most 48 (and charged exactly
// beyond that), so that small branches cost no counting: a path is never charged less
// than its instructions, and at most 48 too much at each branch. A function whose code up
// to its first charge costs at most 16 is charged by its callers. [Options].Exact switches
// all that off: every executed instruction is charged once, no more. A function that is one loop
// and calls nothing counts in a local until it ends; what a trap ends there was not counted.
//
// # Stack
//
// wazero lets the native stack of a call grow to tens of megabytes outside the limit on
// linear memory. The module therefore gets a mutable i32 global, exported as [StackGlobal]:
// the bytes of native stack that are left, estimated from each function's locals and
// length. It is counted down around the calls that can make a chain of frames long: those
// through tables, those that close a cycle of the call graph, and those of functions with
// more than 8 KiB of frames below them. All other calls are free: what they can add is
// bounded by the call graph. Below zero the module traps.
//
// # State
//
// All that code can change is to be put back by a host that wants an instance as it was: the
// mutable globals of numbers become exports, named by [State], and what a host can read but
// not put back, such as the entries of tables, is marked in the global [Changed] when it
// changes.
//
// # What else changes
//
// The start function becomes the export [Start], so that the host may fill the counters
// before any code runs. ref.func inside functions becomes a global, because wazero
// allocates host memory at each execution of it. Tables are capped. Custom sections other
// than function names are dropped. Function, type, table and memory indices stay.
//
// # Refused
//
// Anything malformed, unknown opcodes, features beyond WebAssembly 2.0 (threads, tail
// calls, exceptions, 64-bit or several memories), imports other than functions, exports
// with the reserved prefix "wasmgate.", and sizes over the limits in limits.go, which keep
// decoding and compiling a hostile module bounded. Types are left to wazero's validator.
package fuel
