;; guard traps, or never ends, in the way that the two hex digits at the beginning of the query say;
;; without a query it lets in.
(module
  (type $void (func))
  (table $t 2 funcref)
  (elem (i32.const 1) $deep)
  (memory (export "memory") 8 8)
  (data (i32.const 0x100) "\57\47\52\31\01\00\01\00\24\00\00\00\02\00\00\00\01\00\02\00\1c\00\00\00\08\00\00\00\01\00\00\00\00\00\00\00")
  (func (export "wg_abi_v1"))
  (func (export "wg_scratch") (result i64) (i64.const 0x00010000_00040000))
  (func $deep (param i64) (result i64) (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
  (func $ping (call $pong))
  (func $pong (call $ping))
  (func $hex (param $at i32) (param $digits i32) (result i64)
    (local $v i64) (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (local.get $at)))
      (local.set $v (i64.or (i64.shl (local.get $v) (i64.const 4)) (i64.extend_i32_u
        (i32.sub (local.get $c) (select (i32.const 0x30) (i32.const 0x57) (i32.lt_u (local.get $c) (i32.const 0x3a)))))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (local.tee $digits (i32.sub (local.get $digits) (i32.const 1)))))
    (local.get $v))
  (func (export "wg_guard") (param i32) (result i64)
    (local $kind i32)
    ;; The manifest asks for the query alone.
    (if (i32.eqz (i32.load16_u offset=6 (i32.const 0x10000))) (then (return (i64.const 0x00000100_00000024))))
    (if (i32.lt_u (i32.load offset=24 (i32.const 0x10000)) (i32.const 2)) (then (return (i64.const 0x00000100_00000024))))
    (local.set $kind (i32.wrap_i64 (call $hex (i32.add (i32.const 0x10000) (i32.load offset=20 (i32.const 0x10000))) (i32.const 2))))
    (if (i32.eq (local.get $kind) (i32.const 0)) (then unreachable)) ;; unreachable
    (if (i32.eq (local.get $kind) (i32.const 1)) (then (drop (i32.div_u (i32.const 1) (i32.const 0))))) ;; division by zero
    (if (i32.eq (local.get $kind) (i32.const 2)) (then (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))) ;; overflow of a division
    (if (i32.eq (local.get $kind) (i32.const 3)) (then (drop (i32.load (i32.const 0xfffffffc))))) ;; load out of memory
    (if (i32.eq (local.get $kind) (i32.const 4)) (then (i64.store (i32.const 0xfffffffd) (i64.const 1)))) ;; store out of memory
    (if (i32.eq (local.get $kind) (i32.const 5)) (then (drop (i64.load (i32.const 0x7fffd))))) ;; load across the end of memory
    (if (i32.eq (local.get $kind) (i32.const 6)) (then (call_indirect (type $void) (i32.const 0)))) ;; call of a null element
    (if (i32.eq (local.get $kind) (i32.const 7)) (then (call_indirect (type $void) (i32.const 1)))) ;; call of another signature
    (if (i32.eq (local.get $kind) (i32.const 8)) (then (call_indirect (type $void) (i32.const 99)))) ;; call beyond the table
    (if (i32.eq (local.get $kind) (i32.const 9)) (then (drop (i32.trunc_f64_s (f64.const nan))))) ;; conversion of no number
    (if (i32.eq (local.get $kind) (i32.const 10)) (then (memory.fill (i32.const 0x7ffff) (i32.const 1) (i32.const 2)))) ;; memory.fill out of memory
    (if (i32.eq (local.get $kind) (i32.const 11)) (then (memory.copy (i32.const 0) (i32.const 0x7ffff) (i32.const 2)))) ;; memory.copy out of memory
    (if (i32.eq (local.get $kind) (i32.const 12)) (then (table.set $t (i32.const 99) (ref.null func)))) ;; table.set beyond the table
    (if (i32.eq (local.get $kind) (i32.const 13)) (then (loop $l (br $l)))) ;; endless loop
    (if (i32.eq (local.get $kind) (i32.const 14)) (then (loop $l (i32.store (i32.const 0) (i32.const 1)) (br $l)))) ;; endless loop with a store
    (if (i32.eq (local.get $kind) (i32.const 15)) (then (drop (call $deep (i64.const 0))))) ;; endless recursion
    (if (i32.eq (local.get $kind) (i32.const 16)) (then (call $ping))) ;; endless recursion between two
    (if (i32.eq (local.get $kind) (i32.const 17)) (then (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x80000)) (br $l)))) ;; endless filling
    (i64.const 0x00000100_00000024)))
