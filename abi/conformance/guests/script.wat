;; Each hook answers with the record that the config holds for it. The config is a text of
;; entries: two hex digits of the hook's id, eight of the record's length, and the record.
(module
  (memory (export "memory") 40)
  ;; 0x400: pointer and length for each hook; 0x10000: decoded records; 0x180000: scratch.
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x0018000000100000))
  (func $digit (param $c i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $c) (i32.const 0x3a))
      (then (i32.sub (local.get $c) (i32.const 0x30)))
      (else (i32.sub (local.get $c) (i32.const 0x57)))))
  (func $hex (param $at i32) (param $digits i32) (result i32)
    (local $v i32)
    (loop $next
      (local.set $v (i32.or (i32.shl (local.get $v) (i32.const 4)) (call $digit (i32.load8_u (local.get $at)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (local.tee $digits (i32.sub (local.get $digits) (i32.const 1)))))
    (local.get $v))
  (func $answer (param $hook i32) (result i64)
    (i64.or
      (i64.shl (i64.load32_u offset=0x400 (i32.shl (local.get $hook) (i32.const 3))) (i64.const 32))
      (i64.load32_u offset=0x404 (i32.shl (local.get $hook) (i32.const 3)))))
  (func (export "wg_configure") (param $length i32) (result i64)
    (local $at i32) (local $end i32) (local $out i32) (local $entry i32) (local $left i32)
    ;; The config is field 41; a record without one has plugin_id (42) first.
    (if (i32.ne (i32.load16_u offset=16 (i32.const 0x180000)) (i32.const 41)) (then (return (i64.const 0))))
    (local.set $at (i32.add (i32.const 0x180000) (i32.load offset=20 (i32.const 0x180000))))
    (local.set $end (i32.add (local.get $at) (i32.load offset=24 (i32.const 0x180000))))
    (local.set $out (i32.const 0x10000))
    (block $done
      (loop $entries
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $entry (i32.shl (call $hex (local.get $at) (i32.const 2)) (i32.const 3)))
        (local.set $left (call $hex (i32.add (local.get $at) (i32.const 2)) (i32.const 8)))
        (i32.store offset=0x400 (local.get $entry) (local.get $out))
        (i32.store offset=0x404 (local.get $entry) (local.get $left))
        (local.set $at (i32.add (local.get $at) (i32.const 10)))
        (block $copied
          (loop $bytes
            (br_if $copied (i32.eqz (local.get $left)))
            (i32.store8 (local.get $out) (call $hex (local.get $at) (i32.const 2)))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (local.set $out (i32.add (local.get $out) (i32.const 1)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $bytes)))
        (br $entries)))
    (call $answer (i32.const 1)))
  (func (export "wg_guard") (param i32) (result i64) (call $answer (i32.const 2)))
  (func (export "wg_authorize") (param i32) (result i64) (call $answer (i32.const 3)))
  (func (export "wg_identify") (param i32) (result i64) (call $answer (i32.const 4)))
  (func (export "wg_throttle") (param i32) (result i64) (call $answer (i32.const 5)))
  (func (export "wg_map_request") (param i32) (result i64) (call $answer (i32.const 6)))
  (func (export "wg_cache_key") (param i32) (result i64) (call $answer (i32.const 7)))
  (func (export "wg_integrate") (param i32) (result i64) (call $answer (i32.const 8)))
  (func (export "wg_map_response") (param i32) (result i64) (call $answer (i32.const 9)))
  (func (export "wg_observe") (param i32) (result i64) (call $answer (i32.const 10))))
