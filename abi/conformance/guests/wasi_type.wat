;; A WASI function of another type.
(module
	(import "wasi_snapshot_preview1" "sched_yield" (func (param i32) (result i32)))
	(memory (export "memory") 2)
	(func (export "wg_abi_v1"))
	(func (export "wg_scratch") (result i64) (i64.const 0x0000040000010000))
	(func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
