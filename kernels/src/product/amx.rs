//! Tiles of up to 32 rows and 32 columns by the matrix unit of AMX, from pairs of bfloat16.
//!
//! The unit holds a tile in four registers of 16 by 16 sums and takes 16 words along `k` at a
//! time: of the left operand row by row, of the right one step by step, as its panels are.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::tile::{Tile, TileTask};
use crate::amx::{REGISTER_ROW_BYTES, REGISTER_ROWS};

pub(super) const ROWS: usize = 2 * REGISTER_ROWS;
pub(super) const LANES: usize = REGISTER_ROW_BYTES / size_of::<f32>();
pub(super) const VECTORS: usize = 2;

/// Words along `k` that a register of the left operand holds.
pub(super) const STEPS: usize = LANES;

/// Tiles of 16 and of 32 rows, of one vector and of two.
pub(super) static TILES: [Tile; 2 * VECTORS] = [tile::<1, 1>, tile::<1, 2>, tile::<2, 1>, tile::<2, 2>];

/// Sums on their way to the destination.
#[repr(C, align(64))]
struct Sums([[f32; VECTORS * LANES]; ROWS]);

/// See [`Tile`]; `G` times 16 rows and `V` vectors. The left operand's rows are cut into groups of 16,
/// `16 · a_row` words apart, and each group into registers, `a_step` words apart. `k` is a multiple of
/// [`STEPS`].
///
/// # Safety
/// The thread holds [`whole`](crate::amx::Registers::whole) registers, and every address the tile's
/// contract names is inside a live allocation; those of `C` are exclusively the caller's.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const G: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    let second = REGISTER_ROWS * a_row;
    let a_side = REGISTER_ROW_BYTES;
    let b_side = b_step * size_of::<f32>();
    // SAFETY: the caller's promise covers every address formed here, and the registers.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for _ in 0..k / STEPS {
            asm!(
                "tileloadd tmm4, [{a} + {a_side}]",
                "tileloadd tmm6, [{b} + {b_side}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                a = in(reg) a,
                a_side = in(reg) a_side,
                b = in(reg) b,
                b_side = in(reg) b_side,
                options(nostack, readonly),
            );
            if V == 2 {
                asm!(
                    "tileloadd tmm7, [{b} + {b_side}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    b = in(reg) b.wrapping_add(LANES),
                    b_side = in(reg) b_side,
                    options(nostack, readonly),
                );
            }
            if G == 2 {
                asm!(
                    "tileloadd tmm5, [{a} + {a_side}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    a = in(reg) a.wrapping_add(second),
                    a_side = in(reg) a_side,
                    options(nostack, readonly),
                );
            }
            if G == 2 && V == 2 {
                asm!("tdpbf16ps tmm3, tmm5, tmm7", options(nostack, nomem));
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(STEPS * b_step);
        }
        if scale == 1.0 && !add {
            return store::<G, V>(c, c_row);
        }
        let mut sums = std::mem::MaybeUninit::<Sums>::uninit();
        let sums = sums.as_mut_ptr().cast::<f32>();
        store::<G, V>(sums, VECTORS * LANES);
        let scale = _mm512_set1_ps(scale);
        for i in 0..G * REGISTER_ROWS {
            for v in 0..V {
                let at = c.add(i * c_row + v * LANES);
                let product = _mm512_mul_ps(_mm512_load_ps(sums.add((i * VECTORS + v) * LANES)), scale);
                _mm512_storeu_ps(at, if add { _mm512_add_ps(_mm512_loadu_ps(at), product) } else { product });
            }
        }
    }
}

/// The sums in the registers, to rows `stride` elements apart.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn store<const G: usize, const V: usize>(to: *mut f32, stride: usize) {
    let side = stride * size_of::<f32>();
    let lower = to.wrapping_add(REGISTER_ROWS * stride);
    // SAFETY: as promised above.
    unsafe {
        asm!("tilestored [{to} + {side}], tmm0", to = in(reg) to, side = in(reg) side, options(nostack));
        if V == 2 {
            let to = to.wrapping_add(LANES);
            asm!("tilestored [{to} + {side}], tmm1", to = in(reg) to, side = in(reg) side, options(nostack));
        }
        if G == 2 {
            asm!("tilestored [{to} + {side}], tmm2", to = in(reg) lower, side = in(reg) side, options(nostack));
        }
        if G == 2 && V == 2 {
            let to = lower.wrapping_add(LANES);
            asm!("tilestored [{to} + {side}], tmm3", to = in(reg) to, side = in(reg) side, options(nostack));
        }
    }
}
