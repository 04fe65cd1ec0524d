;; The marker of this version beside that of the next one: a guest that speaks both. A host that serves version 1 only refuses it, as any unknown export that begins with wg_.
(module
  (memory (export "memory") 8)
  (func (export "wg_abi_v1"))
  (func (export "wg_abi_v2"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64) (i64.const 0)))
