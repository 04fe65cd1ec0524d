;; A capability that wants a grant; the policy has none.
(module
	(import "wasmgate.kv.v1" "get" (func (param i32 i32 i32 i32) (result i64)))
	(memory (export "memory") 2)
	(func (export "wg_abi_v1"))
	(func (export "wg_scratch") (result i64) (i64.const 0x0000040000010000))
	(func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
