//! Tiles of up to 6 rows and 16 columns with AVX2 and FMA.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::tile::{Tile, TileTask, tiles};

pub(super) const ROWS: usize = 6;
pub(super) const LANES: usize = 8;
pub(super) const VECTORS: usize = 2;

pub(super) static TILES: [Tile; ROWS * VECTORS] = tiles!(tile, 2 vectors, 1 2 3 4 5 6);

/// See [`Tile`].
///
/// # Safety
/// The processor has AVX2 and FMA, and every address the tile's contract names is
/// inside a live allocation; those of `C` are exclusively the caller's.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    // SAFETY: the caller's promise covers every address formed here.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); V]; R];
        for i in 0..R {
            // Rows may start anywhere in a cache line.
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(i * c_row).cast());
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(i * c_row + V * LANES - 1).cast());
        }
        for _ in 0..k {
            let mut row = [_mm256_setzero_ps(); V];
            for (v, row) in row.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(b.wrapping_add(v * LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_broadcast_ss(&*a.wrapping_add(i * a_row));
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm256_fmadd_ps(x, row, *sum);
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        let scale = _mm256_set1_ps(scale);
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = c.add(i * c_row + v * LANES);
                let product = _mm256_mul_ps(*sum, scale);
                _mm256_storeu_ps(at, if add { _mm256_add_ps(_mm256_loadu_ps(at), product) } else { product });
            }
        }
    }
}
