;; A guest that traps when it is called for the second time.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (if (global.get $called) (then unreachable)) (global.set $called (i32.const 1)) (i64.const 0))
  (global $called (mut i32) (i32.const 0)))
