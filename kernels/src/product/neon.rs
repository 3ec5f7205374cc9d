//! Tiles of up to 6 rows and 16 columns with NEON.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::prefetch::prefetch;
use super::tile::{Tile, TileTask, tiles};

pub(super) const ROWS: usize = 6;
pub(super) const LANES: usize = 4;
pub(super) const VECTORS: usize = 4;

/// Sums fill 24 of the 32 registers.
pub(super) static TILES: [Tile; ROWS * VECTORS] = tiles!(tile, 4 vectors, 1 2 3 4 5 6);

/// See [`Tile`].
///
/// # Safety
/// The processor has NEON, and every address the tile's contract names is inside a
/// live allocation; those of `C` are exclusively the caller's.
#[target_feature(enable = "neon")]
unsafe fn tile<const R: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    for i in 0..R {
        prefetch(c.wrapping_add(i * c_row).cast(), V * LANES * size_of::<f32>());
    }
    // SAFETY: the caller's promise covers every address formed here.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); V]; R];
        for _ in 0..k {
            let mut row = [vdupq_n_f32(0.0); V];
            for (v, row) in row.iter_mut().enumerate() {
                *row = vld1q_f32(b.wrapping_add(v * LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = *a.wrapping_add(i * a_row);
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = vfmaq_n_f32(*sum, row, x);
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = c.add(i * c_row + v * LANES);
                let product = vmulq_n_f32(*sum, scale);
                vst1q_f32(at, if add { vaddq_f32(vld1q_f32(at), product) } else { product });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::product::portable;

    proptest! {
        #[test]
        fn every_tile_has_the_bits_of_the_portable_one(
            rows in 1..=ROWS, vectors in 1..=VECTORS, k in 0usize..50, extra in 0usize..3, add: bool, seed: u32,
        ) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / 2f32.powi(31) - 1.0;
            let (columns, step) = (vectors * LANES, rows + extra);
            let a: Vec<f32> = (0..k * step).map(value).collect();
            let b: Vec<f32> = (0..k * (columns + extra)).map(|i| value(i + 7)).collect();
            let before: Vec<f32> = (0..rows * (columns + extra)).map(|i| value(i + 9)).collect();
            let at = (rows - 1) * VECTORS + vectors - 1;
            let results = [TILES[at], portable::TILES[at]].map(|tile| {
                let mut c = before.clone();
                let task = TileTask {
                    k,
                    a: a.as_ptr(),
                    a_row: 1,
                    a_step: step,
                    b: b.as_ptr(),
                    b_step: columns + extra,
                    c: c.as_mut_ptr(),
                    c_row: columns + extra,
                    scale: 0.75,
                    add,
                };
                // SAFETY: the vectors hold `k` steps of the rows and columns, and the tile.
                unsafe { tile(&task) };
                c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            prop_assert_eq!(&results[0], &results[1]);
        }
    }
}
