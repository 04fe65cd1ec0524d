;; The start function ran before anything else: guard traps otherwise.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (if (i32.ne (i32.load (i32.const 0)) (i32.const 7)) (then unreachable)) (i64.const 0))
  (start $start)
  (func $start (i32.store (i32.const 0) (i32.const 7))))
