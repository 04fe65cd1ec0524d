;; guard writes the query, all that its manifest asks for, into memory and replies with what was
;; there before, 64 bytes.
(module
  (memory (export "memory") 8)
  (data (i32.const 0x100) "\57\47\52\31\01\00\02\00\70\00\00\00\02\00\00\00\01\00\02\00\28\00\00\00\08\00\00\00\0b\00\01\00\30\00\00\00\40\00\00\00\03\00\00\00\00\00\00\00")
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func (export "wg_guard") (param i32) (result i64)
    (memory.copy (i32.const 0x130) (i32.const 0x1000) (i32.const 64))
    (memory.copy (i32.const 0x1000) (i32.add (i32.const 0x10000) (i32.load offset=20 (i32.const 0x10000))) (i32.load offset=24 (i32.const 0x10000)))
    (i64.const 0x00000100_00000070)))
