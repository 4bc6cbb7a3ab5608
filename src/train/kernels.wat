;; AdamW (Loshchilov and Hutter, 2019), the same with moments in 8 bits, Lion (Chen et al., 2023), sums of gradients and
;; of their squares on chunks of up to 16,384 numbers, four at a time; see kernels.ts, which fills the memory. `npm run wasm` makes kernels-wasm.ts of this file.
;; Written without calls in the loops: V8 does not inline them.
(module
  ;; weights at 0, gradient at 64 KiB; in float32 the first moment at 128 KiB and the second at 192 KiB. In 8 bits codes of the first at
  ;; 128 KiB and of the second at 144 KiB, their scales at 160 and 161 KiB, tables of what codes stand for at 384 (first) and 385 KiB
  ;; (second), of the bounds between codes at 386 and 387 KiB, of cells at 256 and 320 KiB, and a block's moments at 168 and 169 KiB
  (memory (export "memory") 7)

  (func (export "adamw") (param $count i32) (param $clip f32)
    (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32)
    (param $step f32) (param $correction f32) (param $epsilon f32) (param $keep f32)
    (local $at i32) (local $end i32) (local $g v128) (local $m v128) (local $v v128)
    (local.set $end (i32.shl (local.get $count) (i32.const 2)))
    (loop $next
      (local.set $g (f32x4.mul (v128.load offset=0x10000 (local.get $at)) (f32x4.splat (local.get $clip))))
      (local.set $m
        (f32x4.add
          (f32x4.mul (v128.load offset=0x20000 (local.get $at)) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest1)))))
      (local.set $v
        (f32x4.add
          (f32x4.mul (v128.load offset=0x30000 (local.get $at)) (f32x4.splat (local.get $beta2)))
          (f32x4.mul (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (local.get $rest2)))))
      (v128.store offset=0x20000 (local.get $at) (local.get $m))
      (v128.store offset=0x30000 (local.get $at) (local.get $v))
      (v128.store (local.get $at)
        (f32x4.sub
          (f32x4.mul (v128.load (local.get $at)) (f32x4.splat (local.get $keep)))
          (f32x4.div
            (f32x4.mul (local.get $m) (f32x4.splat (local.get $step)))
            (f32x4.add
              (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $correction)))
              (f32x4.splat (local.get $epsilon))))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; the momentum lies where AdamW has its first moment
  (func (export "lion") (param $count i32) (param $clip f32)
    (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32) (param $rate f32) (param $keep f32)
    (local $at i32) (local $end i32) (local $g v128) (local $m v128) (local $toward v128) (local $zero v128)
    (local.set $end (i32.shl (local.get $count) (i32.const 2)))
    (loop $next
      (local.set $g (f32x4.mul (v128.load offset=0x10000 (local.get $at)) (f32x4.splat (local.get $clip))))
      (local.set $m (v128.load offset=0x20000 (local.get $at)))
      (local.set $toward
        (f32x4.add
          (f32x4.mul (local.get $m) (f32x4.splat (local.get $beta1)))
          (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest1)))))
      ;; the rate with the sign of where it goes
      (local.set $toward
        (f32x4.sub
          (v128.and (f32x4.gt (local.get $toward) (local.get $zero)) (f32x4.splat (local.get $rate)))
          (v128.and (f32x4.lt (local.get $toward) (local.get $zero)) (f32x4.splat (local.get $rate)))))
      (v128.store (local.get $at)
        (f32x4.sub
          (f32x4.mul (v128.load (local.get $at)) (f32x4.splat (local.get $keep)))
          (local.get $toward)))
      (v128.store offset=0x20000 (local.get $at)
        (f32x4.add
          (f32x4.mul (local.get $m) (f32x4.splat (local.get $beta2)))
          (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest2)))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; what lies where weights do, times $keep, and the gradient times $factor
  (func (export "accumulate") (param $count i32) (param $keep f32) (param $factor f32)
    (local $at i32) (local $end i32)
    (local.set $end (i32.shl (local.get $count) (i32.const 2)))
    (loop $next
      (v128.store (local.get $at)
        (f32x4.add
          (f32x4.mul (v128.load (local.get $at)) (f32x4.splat (local.get $keep)))
          (f32x4.mul (v128.load offset=0x10000 (local.get $at)) (f32x4.splat (local.get $factor)))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; the sum at 128 KiB of the squares of the gradient, in float64; what lies behind it up to a multiple of 8 must be zeros
  (func (export "squares") (param $count i32)
    (local $at i32) (local $end i32) (local $x v128) (local $y v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.shl (local.get $count) (i32.const 2)))
    (loop $next
      (local.set $x (f64x2.promote_low_f32x4 (v128.load64_zero offset=0x10000 (local.get $at))))
      (local.set $a (f64x2.add (local.get $a) (f64x2.mul (local.get $x) (local.get $x))))
      (local.set $x (f64x2.promote_low_f32x4 (v128.load64_zero offset=0x10008 (local.get $at))))
      (local.set $b (f64x2.add (local.get $b) (f64x2.mul (local.get $x) (local.get $x))))
      (local.set $y (f64x2.promote_low_f32x4 (v128.load64_zero offset=0x10010 (local.get $at))))
      (local.set $c (f64x2.add (local.get $c) (f64x2.mul (local.get $y) (local.get $y))))
      (local.set $y (f64x2.promote_low_f32x4 (v128.load64_zero offset=0x10018 (local.get $at))))
      (local.set $d (f64x2.add (local.get $d) (f64x2.mul (local.get $y) (local.get $y))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (local.set $a (f64x2.add (f64x2.add (local.get $a) (local.get $b)) (f64x2.add (local.get $c) (local.get $d))))
    (f64.store (i32.const 0x20000)
      (f64.add (f64x2.extract_lane 0 (local.get $a)) (f64x2.extract_lane 1 (local.get $a)))))

  (func $largest (param $x v128) (result f32)
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $x)) (f32x4.extract_lane 1 (local.get $x)))
      (f32.max (f32x4.extract_lane 2 (local.get $x)) (f32x4.extract_lane 3 (local.get $x)))))

  ;; the code nearest to each of $count numbers over $scale: that of the cell of its first 16 bits, which holds one bound at most, or
  ;; the next
  (func $encode (param $from i32) (param $count i32) (param $scale f32) (param $codes i32) (param $cells i32) (param $bounds i32)
    (local $i i32) (local $x f32) (local $code i32)
    ;; zeros over one are zeros
    (if (f32.eq (local.get $scale) (f32.const 0)) (then (local.set $scale (f32.const 1))))
    (loop $next
      (local.set $x
        (f32.div
          (f32.load (i32.add (local.get $from) (i32.shl (local.get $i) (i32.const 2))))
          (local.get $scale)))
      (local.set $code
        (i32.load8_u
          (i32.add (local.get $cells) (i32.shr_u (i32.reinterpret_f32 (local.get $x)) (i32.const 16)))))
      (i32.store8
        (i32.add (local.get $codes) (local.get $i))
        (i32.add
          (local.get $code)
          (f32.gt
            (local.get $x)
            (f32.load (i32.add (local.get $bounds) (i32.shl (local.get $code) (i32.const 2)))))))
      (br_if $next
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count)))))

  ;; $count numbers in blocks of 256, the last of which may be shorter; what lies behind them must be zeros
  (func (export "adamw8bit") (param $count i32) (param $clip f32)
    (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32)
    (param $step f32) (param $correction f32) (param $epsilon f32) (param $keep f32)
    (local $start i32) (local $size i32) (local $i i32) (local $at i32) (local $codes i32) (local $scales i32)
    (local $scale1 f32) (local $scale2 f32) (local $g v128) (local $m v128) (local $v v128)
    (local $most1 v128) (local $most2 v128)
    (loop $block
      (local.set $size (i32.sub (local.get $count) (local.get $start)))
      (if (i32.gt_u (local.get $size) (i32.const 256)) (then (local.set $size (i32.const 256))))
      (local.set $scales (i32.shr_u (local.get $start) (i32.const 6)))
      (local.set $scale1 (f32.load offset=0x28000 (local.get $scales)))
      (local.set $scale2 (f32.load offset=0x28400 (local.get $scales)))
      (local.set $most1 (v128.const f32x4 0 0 0 0))
      (local.set $most2 (v128.const f32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $codes (i32.add (local.get $start) (local.get $i)))
        (local.set $at (i32.shl (local.get $codes) (i32.const 2)))
        (local.set $g (f32x4.mul (v128.load offset=0x10000 (local.get $at)) (f32x4.splat (local.get $clip))))
        (local.set $m
          (f32x4.splat
            (f32.load offset=0x60000 (i32.shl (i32.load8_u offset=0x20000 (local.get $codes)) (i32.const 2)))))
        (local.set $m
          (f32x4.replace_lane 1 (local.get $m)
            (f32.load offset=0x60000 (i32.shl (i32.load8_u offset=0x20001 (local.get $codes)) (i32.const 2)))))
        (local.set $m
          (f32x4.replace_lane 2 (local.get $m)
            (f32.load offset=0x60000 (i32.shl (i32.load8_u offset=0x20002 (local.get $codes)) (i32.const 2)))))
        (local.set $m
          (f32x4.replace_lane 3 (local.get $m)
            (f32.load offset=0x60000 (i32.shl (i32.load8_u offset=0x20003 (local.get $codes)) (i32.const 2)))))
        (local.set $v
          (f32x4.splat
            (f32.load offset=0x60400 (i32.shl (i32.load8_u offset=0x24000 (local.get $codes)) (i32.const 2)))))
        (local.set $v
          (f32x4.replace_lane 1 (local.get $v)
            (f32.load offset=0x60400 (i32.shl (i32.load8_u offset=0x24001 (local.get $codes)) (i32.const 2)))))
        (local.set $v
          (f32x4.replace_lane 2 (local.get $v)
            (f32.load offset=0x60400 (i32.shl (i32.load8_u offset=0x24002 (local.get $codes)) (i32.const 2)))))
        (local.set $v
          (f32x4.replace_lane 3 (local.get $v)
            (f32.load offset=0x60400 (i32.shl (i32.load8_u offset=0x24003 (local.get $codes)) (i32.const 2)))))
        (local.set $m
          (f32x4.add
            (f32x4.mul
              (f32x4.mul (local.get $m) (f32x4.splat (local.get $scale1)))
              (f32x4.splat (local.get $beta1)))
            (f32x4.mul (local.get $g) (f32x4.splat (local.get $rest1)))))
        (local.set $v
          (f32x4.add
            (f32x4.mul
              (f32x4.mul (local.get $v) (f32x4.splat (local.get $scale2)))
              (f32x4.splat (local.get $beta2)))
            (f32x4.mul (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (local.get $rest2)))))
        (v128.store offset=0x2a000 (i32.shl (local.get $i) (i32.const 2)) (local.get $m))
        (v128.store offset=0x2a400 (i32.shl (local.get $i) (i32.const 2)) (local.get $v))
        (local.set $most1 (f32x4.max (local.get $most1) (f32x4.abs (local.get $m))))
        (local.set $most2 (f32x4.max (local.get $most2) (local.get $v)))
        (v128.store (local.get $at)
          (f32x4.sub
            (f32x4.mul (v128.load (local.get $at)) (f32x4.splat (local.get $keep)))
            (f32x4.div
              (f32x4.mul (local.get $m) (f32x4.splat (local.get $step)))
              (f32x4.add
                (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $correction)))
                (f32x4.splat (local.get $epsilon))))))
        (br_if $next
          (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $size))))
      (local.set $scale1 (call $largest (local.get $most1)))
      (local.set $scale2 (call $largest (local.get $most2)))
      (f32.store offset=0x28000 (local.get $scales) (local.get $scale1))
      (f32.store offset=0x28400 (local.get $scales) (local.get $scale2))
      (call $encode (i32.const 0x2a000) (local.get $size) (local.get $scale1)
        (i32.add (i32.const 0x20000) (local.get $start)) (i32.const 0x40000) (i32.const 0x60800))
      (call $encode (i32.const 0x2a400) (local.get $size) (local.get $scale2)
        (i32.add (i32.const 0x24000) (local.get $start)) (i32.const 0x50000) (i32.const 0x60c00))
      (br_if $block
        (i32.lt_u (local.tee $start (i32.add (local.get $start) (i32.const 256))) (local.get $count))))))
