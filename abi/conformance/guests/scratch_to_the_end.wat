;; The scratch area ends where the memory does.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00070000_00010000))
  (func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
