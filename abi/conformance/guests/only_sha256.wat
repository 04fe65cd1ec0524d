;; Imports one capability and does not call it: whether it loads is the grants' affair.
(module
  (import "wasmgate.crypto.v1" "sha256" (func (param i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
