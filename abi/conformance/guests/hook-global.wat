;; Refused: a hook that is no function.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (global (export "wg_guard") i32 (i32.const 0)))
