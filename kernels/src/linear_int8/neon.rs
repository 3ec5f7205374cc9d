//! Tiles of 32 weight rows and a few rows of `x`, by the instructions of 64-bit Arm.
//!
//! A vector holds four values of each of four weight rows; the same four of a row of `x` are set against
//! it. Both have their sign here, so sums start at zero. The sums of a block are integers and thus the
//! same in any order; what is rounded, the sum of blocks, runs as in [`portable`](super::portable).

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::spec::{GROUP, INT8_BLOCK, OFFSET, PANEL, SCALES_BYTES};
use super::task::TileTask;
use super::unit::Unit;

/// Rows of `x` in a tile: as many as leave all sums in registers.
pub(super) const ROWS: usize = 4;

/// Bytes of a group: four values of every row of the panel.
const GROUP_BYTES: usize = PANEL * GROUP;

/// Bytes of a vector, and of as many values of `x`: half a block.
const VECTOR: usize = 16;

/// Weight rows in a vector.
const LANES: usize = VECTOR / GROUP;

/// # Safety
/// The processor has the instructions of `unit`; slices as [`Unit::tile`] checks them.
pub(super) unsafe fn tile(unit: Unit, task: &TileTask<'_>, out: &mut [f32]) {
    // SAFETY: handed on.
    unsafe {
        match unit {
            Unit::DotProd => rows_dot(task, out),
            _ => rows::<Widening>(task, out),
        }
    }
}

/// # Safety
/// As [`tile`], for the dot-product instructions.
#[target_feature(enable = "neon,dotprod")]
unsafe fn rows_dot(task: &TileTask<'_>, out: &mut [f32]) {
    // SAFETY: handed on.
    unsafe { rows::<Dot>(task, out) }
}

/// The fewer rows of `x`, the more of the panel's fit beside them.
///
/// # Safety
/// As [`tile`]; compiled into functions that have what `M` needs.
#[inline(always)]
unsafe fn rows<M: Multiply>(task: &TileTask<'_>, out: &mut [f32]) {
    // SAFETY: handed on.
    unsafe {
        match task.rows {
            1 => tile_of::<M, 1, 8>(task, out),
            2 => tile_of::<M, 2, 4>(task, out),
            3 => tile_of::<M, 3, 2>(task, out),
            _ => tile_of::<M, 4, 2>(task, out),
        }
    }
}

/// `V` vectors of the panel's rows after the other.
///
/// # Safety
/// As [`rows`], for `R` rows.
#[inline(always)]
unsafe fn tile_of<M: Multiply, const R: usize, const V: usize>(task: &TileTask<'_>, out: &mut [f32]) {
    let (blocks, inn) = (task.blocks, task.blocks * INT8_BLOCK);
    let (nibbles, minima) = (task.layout.nibbles, task.layout.minima);
    let (codes_at, block_bytes) = (task.layout.codes_at(), task.layout.block_bytes());
    // SAFETY: the panel holds `blocks` blocks, `x` and the statistics `R` rows of as many.
    unsafe {
        let offset = vdupq_n_u8(OFFSET);
        let table = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(task.table.as_ptr()), offset));
        for first in (0..PANEL).step_by(V * LANES) {
            let mut y = [[vdupq_n_f32(0.0); V]; R];
            for block in 0..blocks {
                let bytes = task.panel.as_ptr().add(block * block_bytes);
                let codes = bytes.add(codes_at + first * GROUP);
                let x = task.x.as_ptr().add(block).cast::<i8>();
                let mut sums = [[M::zero(); V]; R];
                for half in 0..2 {
                    let xs: [_; R] = std::array::from_fn(|r| vld1q_s8(x.add(r * inn + VECTOR * half)));
                    // Four values of the rows of vector `v`: group `group` of this half.
                    let weights = |group: usize, v: usize| {
                        if nibbles {
                            let bytes = vld1q_u8(codes.add(group * GROUP_BYTES + VECTOR * v));
                            let low = vandq_u8(bytes, vdupq_n_u8(15));
                            vqtbl1q_s8(table, if half == 0 { low } else { vshrq_n_u8::<4>(bytes) })
                        } else {
                            let group = group + half * VECTOR / GROUP;
                            let bytes = vld1q_u8(codes.add(group * GROUP_BYTES + VECTOR * v));
                            vreinterpretq_s8_u8(veorq_u8(bytes, offset))
                        }
                    };
                    for v in 0..V {
                        let (a, b) = (weights(0, v), weights(1, v));
                        for (sums, x) in sums.iter_mut().zip(xs) {
                            sums[v] = M::add::<0, 1>(sums[v], a, b, x);
                        }
                        let (a, b) = (weights(2, v), weights(3, v));
                        for (sums, x) in sums.iter_mut().zip(xs) {
                            sums[v] = M::add::<2, 3>(sums[v], a, b, x);
                        }
                    }
                }
                let halves = |at: *const u8, v: usize| {
                    let four = vld1_u16(at.add((first + v * LANES) * size_of::<u16>()).cast());
                    vcvt_f32_f16(vreinterpret_f16_u16(four))
                };
                for v in 0..V {
                    let scales = halves(bytes, v);
                    for (r, (y, sums)) in y.iter_mut().zip(&sums).enumerate() {
                        let scale = (*task.stats.as_ptr().add(r * blocks + block)).scale;
                        let sum = vcvtq_f32_s32(M::total(sums[v]));
                        y[v] = vfmaq_f32(y[v], sum, vmulq_n_f32(scales, scale));
                    }
                    if minima {
                        let minima = halves(bytes.add(SCALES_BYTES), v);
                        for (r, y) in y.iter_mut().enumerate() {
                            let sum = (*task.stats.as_ptr().add(r * blocks + block)).sum;
                            y[v] = vfmaq_n_f32(y[v], minima, sum);
                        }
                    }
                }
            }
            for (r, y) in y.into_iter().enumerate() {
                for (v, y) in y.into_iter().enumerate() {
                    vst1q_f32(out.as_mut_ptr().add(r * PANEL + first + v * LANES), y);
                }
            }
        }
    }
}

/// Products of fours of bytes, added up by the rows of a vector.
trait Multiply {
    type Sums: Copy;

    /// # Safety
    /// NEON, as for all here.
    unsafe fn zero() -> Self::Sums;

    /// Adds `a` times fours `A` of `x` and `b` times fours `B`. Values of `x` are never −128.
    ///
    /// # Safety
    /// The instructions are there.
    unsafe fn add<const A: i32, const B: i32>(
        sums: Self::Sums,
        a: int8x16_t,
        b: int8x16_t,
        x: int8x16_t,
    ) -> Self::Sums;

    /// # Safety
    /// As [`Multiply::zero`].
    unsafe fn total(sums: Self::Sums) -> int32x4_t;
}

/// `sdot`.
struct Dot;

impl Multiply for Dot {
    type Sums = int32x4_t;

    #[inline(always)]
    unsafe fn zero() -> int32x4_t {
        // SAFETY: as promised.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn add<const A: i32, const B: i32>(
        mut sums: int32x4_t,
        a: int8x16_t,
        b: int8x16_t,
        x: int8x16_t,
    ) -> int32x4_t {
        // The intrinsic for it is not stable.
        // SAFETY: registers alone are read and written; the instruction is there, as promised.
        unsafe {
            std::arch::asm!(
                "sdot {sums:v}.4s, {a:v}.16b, {x:v}.4b[{first}]",
                "sdot {sums:v}.4s, {b:v}.16b, {x:v}.4b[{second}]",
                sums = inout(vreg) sums,
                a = in(vreg) a,
                b = in(vreg) b,
                x = in(vreg) x,
                first = const A,
                second = const B,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    #[inline(always)]
    unsafe fn total(sums: int32x4_t) -> int32x4_t {
        sums
    }
}

/// Products in 16 bits, two of which fit: 128 times 127 twice is less than 2¹⁵.
struct Widening;

impl Multiply for Widening {
    /// Of the first two rows and the last two; each is in two lanes.
    type Sums = [int32x4_t; 2];

    #[inline(always)]
    unsafe fn zero() -> [int32x4_t; 2] {
        // SAFETY: as promised.
        unsafe { [vdupq_n_s32(0); 2] }
    }

    #[inline(always)]
    unsafe fn add<const A: i32, const B: i32>(
        [low, high]: [int32x4_t; 2],
        a: int8x16_t,
        b: int8x16_t,
        x: int8x16_t,
    ) -> [int32x4_t; 2] {
        // SAFETY: NEON is there, as promised.
        unsafe {
            let fours = vreinterpretq_s32_s8(x);
            let (x, next) = (vdupq_laneq_s32::<A>(fours), vdupq_laneq_s32::<B>(fours));
            let (x, next) = (vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(next));
            let products = vmull_s8(vget_low_s8(a), vget_low_s8(x));
            let products = vmlal_s8(products, vget_low_s8(b), vget_low_s8(next));
            let high_products = vmlal_high_s8(vmull_high_s8(a, x), b, next);
            [vpadalq_s16(low, products), vpadalq_s16(high, high_products)]
        }
    }

    #[inline(always)]
    unsafe fn total([low, high]: [int32x4_t; 2]) -> int32x4_t {
        // SAFETY: NEON is there, as promised.
        unsafe { vpaddq_s32(low, high) }
    }
}

/// The values of a block's 4-bit codes, in the order of a block of bytes.
///
/// # Safety
/// `codes` is half as long as `out`, a multiple of 16.
#[target_feature(enable = "neon")]
pub(super) unsafe fn expand(codes: &[u8], table: &[u8; 16], out: &mut [u8]) {
    // SAFETY: the low nibbles of `codes` are the first half of `out`, the high ones the second.
    unsafe {
        let table = vld1q_u8(table.as_ptr());
        for at in (0..codes.len()).step_by(VECTOR) {
            let bytes = vld1q_u8(codes.as_ptr().add(at));
            let (first, second) = (vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes));
            vst1q_u8(out.as_mut_ptr().add(at), vqtbl1q_u8(table, first));
            vst1q_u8(out.as_mut_ptr().add(codes.len() + at), vqtbl1q_u8(table, second));
        }
    }
}
