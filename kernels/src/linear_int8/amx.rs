//! Tiles of 32 weight rows and 32 rows of `x` by the matrix unit of AMX, for many rows.
//!
//! A block of a panel is a matrix as the unit wants it: groups of four values below each other, the
//! panel's rows side by side. The unit's sums are integers like all others', so bits are the same.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::spec::{GROUP, INT8_BLOCK, PANEL, SCALES_BYTES};
use super::task::TileTask;
use crate::amx::{REGISTER_ROW_BYTES, REGISTER_ROWS, Registers};

/// Rows of `x` in a tile: two of the unit's registers.
pub(super) const ROWS: usize = 32;

/// Sums of a block, row by row of `x`.
#[repr(C, align(64))]
struct Sums([[i32; PANEL]; ROWS]);

/// One panel of bytes *with their sign* against up to [`ROWS`] rows of `x`.
///
/// # Safety
/// [`crate::amx::is_available`]; slices as `Unit::tile` checks them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(task: &TileTask<'_>, out: &mut [f32]) {
    let (blocks, inn) = (task.blocks, task.blocks * INT8_BLOCK);
    let (codes_at, block_bytes) = (task.layout.codes_at(), task.layout.block_bytes());
    let (first, second) = (task.rows.min(REGISTER_ROWS), task.rows.saturating_sub(REGISTER_ROWS));
    let (wide, groups) = (REGISTER_ROW_BYTES, INT8_BLOCK / GROUP);
    let (x0, x1) = ((first, INT8_BLOCK), (second.max(1), INT8_BLOCK));
    // 0 to 3 for sums, 4 and 5 for the rows of `x`, 6 and 7 for weights.
    let sums_of = |(rows, _): (usize, usize)| (rows, wide);
    let shapes = [sums_of(x0), sums_of(x0), sums_of(x1), sums_of(x1), x0, x1, (groups, wide), (groups, wide)];
    let mut sums = Sums([[0; PANEL]; ROWS]);
    out.fill(0.0);
    // SAFETY: the panel holds `blocks` blocks, `x` and the statistics `task.rows` rows of as many,
    // `out` as many rows of a panel; the registers have no more rows.
    unsafe {
        let _registers = Registers::new(shapes);
        for block in 0..blocks {
            let bytes = task.panel.as_ptr().add(block * block_bytes);
            let x = task.x.as_ptr().add(block).cast::<i8>();
            asm!(
                "tileloadd tmm6, [{codes} + {side}]",
                "tileloadd tmm7, [{codes} + {side} + 64]",
                "tileloadd tmm4, [{x} + {row}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm1, tmm4, tmm7",
                "tilestored [{sums} + {side}], tmm0",
                "tilestored [{sums} + {side} + 64], tmm1",
                codes = in(reg) bytes.add(codes_at),
                side = in(reg) PANEL * GROUP,
                x = in(reg) x,
                row = in(reg) inn,
                sums = in(reg) &mut sums,
                options(nostack),
            );
            if second > 0 {
                asm!(
                    "tileloadd tmm5, [{x} + {row}]",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "tdpbssd tmm2, tmm5, tmm6",
                    "tdpbssd tmm3, tmm5, tmm7",
                    "tilestored [{sums} + {side}], tmm2",
                    "tilestored [{sums} + {side} + 64], tmm3",
                    side = in(reg) PANEL * GROUP,
                    x = in(reg) x.add(REGISTER_ROWS * inn),
                    row = in(reg) inn,
                    sums = in(reg) &mut sums.0[REGISTER_ROWS],
                    options(nostack),
                );
            }
            let halves = |at: *const u8| {
                [
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
                ]
            };
            let scales = halves(bytes);
            let minima = task.layout.minima.then(|| halves(bytes.add(SCALES_BYTES)));
            for (r, sums) in sums.0.iter().enumerate().take(task.rows) {
                let scale = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).scale);
                for (i, scales) in scales.into_iter().enumerate() {
                    let y = out.as_mut_ptr().add(r * PANEL + i * REGISTER_ROWS);
                    let sum =
                        _mm512_cvtepi32_ps(_mm512_load_si512(sums.as_ptr().add(i * REGISTER_ROWS).cast()));
                    let mut sum = _mm512_fmadd_ps(sum, _mm512_mul_ps(scales, scale), _mm512_loadu_ps(y));
                    if let Some(minima) = minima {
                        let total = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).sum);
                        sum = _mm512_fmadd_ps(minima[i], total, sum);
                    }
                    _mm512_storeu_ps(y, sum);
                }
            }
        }
    }
}
