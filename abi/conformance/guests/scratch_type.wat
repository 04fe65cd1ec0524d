;; wg_scratch answers with an i32.
(module
	(memory (export "memory") 2)
	(func (export "wg_abi_v1"))
	(func (export "wg_scratch") (result i32) (i32.const 1024))
	(func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
