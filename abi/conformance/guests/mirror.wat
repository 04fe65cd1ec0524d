;; One hook, whose two hex digits the config is, answers with the request that it got: a deny
;; with status 400 and the record as body; map_response replaces the body by it. guard leaves
;; state, authorize a principal and context; the others have no opinion.
(module
  (memory (export "memory") 80)
  ;; The request is written behind a result's head, and so is the result's body where it is.
  (data (i32.const 0x100) "\57\47\52\31\01\00\03\00\44\00\00\00\00\00\00\00\01\00\02\00\34\00\00\00\08\00\00\00\04\00\02\00\3c\00\00\00\08\00\00\00\0b\00\01\00\44\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\90\01\00\00\00\00\00\00")
  (data (i32.const 0x200) "\57\47\52\31\01\00\01\00\30\00\00\00\09\00\00\00\0e\00\06\00\1c\00\00\00\14\00\00\00\01\00\00\00\0b\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 0x300) "\57\47\52\31\01\00\01\00\20\00\00\00\02\00\00\00\19\00\01\00\1c\00\00\00\04\00\00\00\6b\65\70\74")
  (data (i32.const 0x400) "\57\47\52\31\01\00\03\00\62\00\00\00\03\00\00\00\01\00\02\00\34\00\00\00\08\00\00\00\08\00\01\00\3c\00\00\00\06\00\00\00\09\00\03\00\42\00\00\00\20\00\00\00\01\00\00\00\00\00\00\00\66\72\69\65\6e\64\02\00\00\00\06\00\00\00\02\00\00\00\74\65\6e\61\6e\74\74\31\04\00\00\00\00\00\00\00\72\6f\6c\65")
  (global $hook (mut i32) (i32.const 0))
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010044_00400000))
  (func $digit (param $c i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $c) (i32.const 0x3a))
      (then (i32.sub (local.get $c) (i32.const 0x30)))
      (else (i32.sub (local.get $c) (i32.const 0x57)))))
  (func (export "wg_configure") (param $length i32) (result i64)
    (local $at i32)
    (local.set $at (i32.add (i32.const 0x10044) (i32.load offset=20 (i32.const 0x10044))))
    (global.set $hook (i32.or
      (i32.shl (call $digit (i32.load8_u (local.get $at))) (i32.const 4))
      (call $digit (i32.load8_u offset=1 (local.get $at)))))
    (i64.const 0))
  (func $deny (param $hook i32) (param $length i32) (param $else i64) (result i64)
    (if (i32.ne (local.get $hook) (global.get $hook)) (then (return (local.get $else))))
    (memory.copy (i32.const 0x10000) (i32.const 0x100) (i32.const 68))
    (i32.store offset=8 (i32.const 0x10000) (i32.add (local.get $length) (i32.const 68)))
    (i32.store16 offset=12 (i32.const 0x10000) (local.get $hook))
    (i32.store offset=48 (i32.const 0x10000) (local.get $length)) ;; of the body
    (i64.or (i64.const 0x00010000_00000000) (i64.extend_i32_u (i32.add (local.get $length) (i32.const 68)))))
  (func (export "wg_guard") (param $length i32) (result i64) (call $deny (i32.const 2) (local.get $length) (i64.const 0x00000300_00000020)))
  (func (export "wg_authorize") (param $length i32) (result i64) (call $deny (i32.const 3) (local.get $length) (i64.const 0x00000400_00000062)))
  (func (export "wg_identify") (param $length i32) (result i64) (call $deny (i32.const 4) (local.get $length) (i64.const 0)))
  (func (export "wg_throttle") (param $length i32) (result i64) (call $deny (i32.const 5) (local.get $length) (i64.const 0)))
  (func (export "wg_map_request") (param $length i32) (result i64) (call $deny (i32.const 6) (local.get $length) (i64.const 0)))
  (func (export "wg_cache_key") (param $length i32) (result i64) (call $deny (i32.const 7) (local.get $length) (i64.const 0)))
  (func (export "wg_integrate") (param $length i32) (result i64) (call $deny (i32.const 8) (local.get $length) (i64.const 0)))
  (func (export "wg_map_response") (param $length i32) (result i64)
    (if (i32.ne (i32.const 9) (global.get $hook)) (then (return (i64.const 0))))
    (memory.copy (i32.const 0x10014) (i32.const 0x200) (i32.const 48))
    (i32.store offset=8 (i32.const 0x10014) (i32.add (local.get $length) (i32.const 48)))
    (i32.store offset=24 (i32.const 0x10014) (i32.add (local.get $length) (i32.const 20))) ;; of the edits
    (i32.store offset=40 (i32.const 0x10014) (i32.add (local.get $length) (i32.const 4))) ;; of the value
    (i32.store offset=44 (i32.const 0x10014) (local.get $length)) ;; of its only part
    (i64.or (i64.const 0x00010014_00000000) (i64.extend_i32_u (i32.add (local.get $length) (i32.const 48)))))
  (func (export "wg_observe") (param i32) (result i64) (i64.const 0)))
