;; guard and authorize return the pointer and length that the config's 16 hex digits are. At the last 36 bytes of memory
;; lies a record that lets in, so that a host can be seen to read exactly up to the end.
(module
  (memory (export "memory") 40 40)
  (data (i32.const 0x27ffdc) "\57\47\52\31\01\00\01\00\24\00\00\00\02\00\00\00\01\00\02\00\1c\00\00\00\08\00\00\00\01\00\00\00\00\00\00\00")
  (global $answer (mut i64) (i64.const 0))
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func $hex (param $at i32) (param $digits i32) (result i64)
    (local $v i64) (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (local.get $at)))
      (local.set $v (i64.or (i64.shl (local.get $v) (i64.const 4)) (i64.extend_i32_u
        (i32.sub (local.get $c) (select (i32.const 0x30) (i32.const 0x57) (i32.lt_u (local.get $c) (i32.const 0x3a)))))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (local.tee $digits (i32.sub (local.get $digits) (i32.const 1)))))
    (local.get $v))
  (func (export "wg_configure") (param i32) (result i64)
    (global.set $answer (call $hex (i32.add (i32.const 0x10000) (i32.load offset=20 (i32.const 0x10000))) (i32.const 16)))
    (i64.const 0))
  (func (export "wg_guard") (param i32) (result i64) (global.get $answer)))
