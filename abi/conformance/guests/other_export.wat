;; Exports of other names are the guest's own affair.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (i64.const 0))
  (func (export "tomorrow") (param f64))
  (global (export "wgx") i32 (i32.const 1)))
