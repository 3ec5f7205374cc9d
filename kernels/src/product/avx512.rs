//! Tiles of up to 12 rows and 32 columns with AVX-512, in f32 or of bfloat16 pairs.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::tile::{Tile, TileTask, tiles};

pub(super) const ROWS: usize = 12;
pub(super) const LANES: usize = 16;
pub(super) const VECTORS: usize = 2;

pub(super) static TILES: [Tile; ROWS * VECTORS] = tiles!(tile, 2 vectors, 1 2 3 4 5 6 7 8 9 10 11 12);

/// The same for words that are pairs of bfloat16.
pub(super) static PAIR_TILES: [Tile; ROWS * VECTORS] =
    tiles!(pair_tile, 2 vectors, 1 2 3 4 5 6 7 8 9 10 11 12);

/// See [`Tile`].
///
/// # Safety
/// The processor has AVX-512 F, and every address the tile's contract names is
/// inside a live allocation; those of `C` are exclusively the caller's.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    // SAFETY: the caller's promise covers every address formed here.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for i in 0..R {
            // Rows may start anywhere in a cache line.
            for line in 0..=V {
                let at = c.wrapping_add(i * c_row + (line * LANES).min(V * LANES - 1));
                _mm_prefetch::<_MM_HINT_T0>(at.cast());
            }
        }
        for _ in 0..k {
            let mut row = [_mm512_setzero_ps(); V];
            for (v, row) in row.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(b.wrapping_add(v * LANES));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.wrapping_add(i * a_row));
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm512_fmadd_ps(x, row, *sum);
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        let scale = _mm512_set1_ps(scale);
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = c.add(i * c_row + v * LANES);
                let product = _mm512_mul_ps(*sum, scale);
                _mm512_storeu_ps(at, if add { _mm512_add_ps(_mm512_loadu_ps(at), product) } else { product });
            }
        }
    }
}

/// See [`Tile`].
///
/// # Safety
/// The processor has AVX-512 BF16, and every address the tile's contract names is
/// inside a live allocation; those of `C` are exclusively the caller's.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pair_tile<const R: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    // SAFETY: the caller's promise covers every address formed here.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; R];
        for i in 0..R {
            // Rows may start anywhere in a cache line.
            for line in 0..=V {
                let at = c.wrapping_add(i * c_row + (line * LANES).min(V * LANES - 1));
                _mm_prefetch::<_MM_HINT_T0>(at.cast());
            }
        }
        for _ in 0..k {
            let mut row = [_mm512_setzero_si512(); V];
            for (v, row) in row.iter_mut().enumerate() {
                *row = _mm512_loadu_si512(b.wrapping_add(v * LANES).cast());
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(a.wrapping_add(i * a_row).cast::<i32>().read());
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = _mm512_dpbf16_ps(*sum, pairs(x), pairs(row));
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        let scale = _mm512_set1_ps(scale);
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = c.add(i * c_row + v * LANES);
                let product = _mm512_mul_ps(*sum, scale);
                _mm512_storeu_ps(at, if add { _mm512_add_ps(_mm512_loadu_ps(at), product) } else { product });
            }
        }
    }
}

/// The same bits, seen as pairs of bfloat16.
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(words: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without invalid patterns.
    unsafe { std::mem::transmute(words) }
}
