//! Tiles of up to 12 rows and 32 columns with AVX-512, in f32 or of bfloat16 pairs.

#![allow(unsafe_code)]
#![allow(clippy::too_many_arguments)] // a tile is what it multiplies, by pointer and stride

use std::arch::x86_64::*;

use super::kernel::{Tile, TileTask};

pub(super) const ROWS: usize = 12;
pub(super) const LANES: usize = 16;
pub(super) const VECTORS: usize = 2;

pub(super) static TILES: [Tile; ROWS * VECTORS] = [
    tile::<1, 1>,
    tile::<1, 2>,
    tile::<2, 1>,
    tile::<2, 2>,
    tile::<3, 1>,
    tile::<3, 2>,
    tile::<4, 1>,
    tile::<4, 2>,
    tile::<5, 1>,
    tile::<5, 2>,
    tile::<6, 1>,
    tile::<6, 2>,
    tile::<7, 1>,
    tile::<7, 2>,
    tile::<8, 1>,
    tile::<8, 2>,
    tile::<9, 1>,
    tile::<9, 2>,
    tile::<10, 1>,
    tile::<10, 2>,
    tile::<11, 1>,
    tile::<11, 2>,
    tile::<12, 1>,
    tile::<12, 2>,
];

/// The same for words that are pairs of bfloat16.
pub(super) static PAIR_TILES: [Tile; ROWS * VECTORS] = [
    pair_tile::<1, 1>,
    pair_tile::<1, 2>,
    pair_tile::<2, 1>,
    pair_tile::<2, 2>,
    pair_tile::<3, 1>,
    pair_tile::<3, 2>,
    pair_tile::<4, 1>,
    pair_tile::<4, 2>,
    pair_tile::<5, 1>,
    pair_tile::<5, 2>,
    pair_tile::<6, 1>,
    pair_tile::<6, 2>,
    pair_tile::<7, 1>,
    pair_tile::<7, 2>,
    pair_tile::<8, 1>,
    pair_tile::<8, 2>,
    pair_tile::<9, 1>,
    pair_tile::<9, 2>,
    pair_tile::<10, 1>,
    pair_tile::<10, 2>,
    pair_tile::<11, 1>,
    pair_tile::<11, 2>,
    pair_tile::<12, 1>,
    pair_tile::<12, 2>,
];

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
