;; Refused: the scratch area ends outside the memory.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00070000_00010001))
  (func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
