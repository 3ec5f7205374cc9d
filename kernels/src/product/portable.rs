//! Tiles in plain Rust, which the compiler turns into the vectors of the target:
//! SSE2 on x86-64, NEON on 64-bit Arm.

#![allow(unsafe_code)]

use super::tile::{Tile, TileTask, tiles};

pub(super) const LANES: usize = 4;
/// Sums fill the registers that loads leave free: 8 of SSE2's 16, 24 of NEON's 32.
pub(super) const ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 4 };
pub(super) const VECTORS: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

#[cfg(target_arch = "aarch64")]
pub(super) static TILES: [Tile; ROWS * VECTORS] = tiles!(tile, 4 vectors, 1 2 3 4 5 6);
#[cfg(not(target_arch = "aarch64"))]
pub(super) static TILES: [Tile; ROWS * VECTORS] = tiles!(tile, 2 vectors, 1 2 3 4);

/// See [`Tile`].
///
/// # Safety
/// Every address the tile's contract names is inside a live allocation; those of
/// `C` are exclusively the caller's.
unsafe fn tile<const R: usize, const V: usize>(task: &TileTask) {
    let &TileTask { k, mut a, a_row, a_step, mut b, b_step, c, c_row, scale, add } = task;
    // SAFETY: the caller's promise covers every address formed here.
    unsafe {
        let mut sums = [[[0f32; LANES]; V]; R];
        for _ in 0..k {
            let row: [[f32; LANES]; V] = b.cast::<[[f32; LANES]; V]>().read_unaligned();
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = *a.wrapping_add(i * a_row);
                for (sums, row) in sums.iter_mut().zip(row) {
                    for (sum, y) in sums.iter_mut().zip(row) {
                        *sum = multiply_add(x, y, *sum);
                    }
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.as_flattened().iter().enumerate() {
                let at = c.add(i * c_row + j);
                let product = sum * scale;
                *at = if add { *at + product } else { product };
            }
        }
    }
}

/// Fused where the target has an instruction for it: elsewhere it would be a call.
#[inline(always)]
fn multiply_add(x: f32, y: f32, sum: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { x.mul_add(y, sum) } else { x * y + sum }
}
