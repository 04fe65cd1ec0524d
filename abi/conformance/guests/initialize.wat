;; _initialize ran, after the start function and once; guard traps otherwise.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (if (i32.ne (i32.load (i32.const 0)) (i32.const 71)) (then unreachable)) (i64.const 0))
  (start $start)
  (func $start (i32.store (i32.const 0) (i32.const 7)))
  (func (export "_initialize") (i32.store (i32.const 0) (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 10)) (i32.const 1)))))
