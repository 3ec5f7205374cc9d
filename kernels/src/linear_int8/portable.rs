//! The product of a tile written out: what every instruction set must give, to the last bit.

use half::f16;

use super::spec::{GROUP, INT8_BLOCK, PANEL, SCALES_BYTES};
use super::task::TileTask;

/// Rows of `x` that one pass takes at most.
pub(super) const ROWS: usize = 4;

/// One panel against up to [`ROWS`] rows of `x`.
pub(super) fn tile(task: &TileTask<'_>, out: &mut [f32]) {
    let layout = task.layout;
    let mut y = [[0f32; PANEL]; ROWS];
    for block in 0..task.blocks {
        let bytes = &task.panel[block * layout.block_bytes()..][..layout.block_bytes()];
        let (scales, codes) = bytes.split_at(layout.codes_at());
        let mut weights = [0u8; PANEL * INT8_BLOCK];
        if layout.nibbles {
            let (low, high) = weights.split_at_mut(PANEL * INT8_BLOCK / 2);
            for ((low, high), &code) in low.iter_mut().zip(high).zip(codes) {
                (*low, *high) = (task.table[usize::from(code & 15)], task.table[usize::from(code >> 4)]);
            }
        } else {
            weights.copy_from_slice(codes);
        }
        for (row, y) in y.iter_mut().enumerate().take(task.rows) {
            let at = row * task.blocks + block;
            let (x, stats) = (&task.x[at], task.stats[at]);
            let mut sums = [stats.start; PANEL];
            let groups = weights.chunks_exact(PANEL * GROUP).zip(x.chunks_exact(GROUP));
            for (weights, x) in groups {
                for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(GROUP)) {
                    for (&weight, &x) in weights.iter().zip(x) {
                        *sum += i32::from(weight) * i32::from(x);
                    }
                }
            }
            for (i, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                let half = |at: usize| f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32();
                *y = (sum as f32).mul_add(half(2 * i) * stats.scale, *y);
                if layout.minima {
                    *y = half(SCALES_BYTES + 2 * i).mul_add(stats.sum, *y);
                }
            }
        }
    }
    for (out, y) in out.chunks_exact_mut(PANEL).zip(&y).take(task.rows) {
        out.copy_from_slice(y);
    }
}
