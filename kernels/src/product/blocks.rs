//! The blocked product: which panels are packed when, and which tiles run where.
//!
//! After Goto and van de Geijn (2008) and BLIS (Van Zee and van de Geijn, 2015): a tile
//! of the destination stays in registers while a panel of the right operand stays in
//! the first-level cache and a block of the left one in the second-level cache.
//!
//! Every element of the destination is one sum over `k` cut at the same places, so
//! neither the number of threads nor the cut of rows and columns changes a bit.

#![allow(unsafe_code)]

use rayon::prelude::*;

use super::buffer::Buffer;
use super::kernel::{Kernel, Word};
use super::pack::{Rhs, lhs_panel, rhs_panels};
use super::tile::TileTask;
use super::{Matrix, Update};

/// Words of the block of the left operand that stays in the second-level cache: 192 KiB.
const LHS_BLOCK: usize = 48 << 10;

/// Columns of the right operand packed at a time, at most.
const COLUMNS: usize = 256;

/// Words of the packed left operand, at most: 8 MiB. More rows are taken in turns.
const LHS_PACKED: usize = 2 << 20;

/// Up to this many rows of the destination the right operand is read where it is.
const FEW_ROWS: usize = 48;

/// Up to this many columns of the destination the left operand is read where it is.
const FEW_COLUMNS: usize = 64;

/// Below this many multiply-adds a product stays on one thread.
const PARALLEL_FROM: usize = 64 * 64 * 64;

/// Where a product goes: rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    pub data: *mut f32,
    pub stride: usize,
}

// SAFETY: tasks write disjoint parts of the destination, which the caller of `run`
// holds exclusively until it returns.
unsafe impl Send for Destination {}
// SAFETY: as above.
unsafe impl Sync for Destination {}

/// One product, ready to run.
struct Product<'a> {
    kernel: Kernel,
    dst: Destination,
    add: bool,
    scale: f32,
    lhs: Matrix<'a>,
    rhs: Rhs<'a>,
    n: usize,
    k: usize,
    /// Values of `k` between cuts.
    k_block: usize,
    /// The right operand is read where it is.
    rhs_in_place: bool,
}

/// `dst = scale · lhs · rhs`, or `dst += …`; `m`, `n` and `k` are not zero.
///
/// # Safety
/// `dst` is exclusively the caller's: `m` rows of `n` elements, which must be
/// initialised when they are added to.
pub(super) unsafe fn run(
    kernel: Kernel,
    dst: Destination,
    update: Update,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Rhs<'_>,
) {
    let (m, k) = (lhs.rows, lhs.cols);
    let n = rhs.dims().1;
    let parallel = m * n * k >= PARALLEL_FROM && rayon::current_num_threads() > 1;
    let workers = if parallel { rayon::current_num_threads() } else { 1 };
    let plain = kernel.word == Word::F32;
    let rhs_in_place = plain && m <= FEW_ROWS && matches!(rhs, Rhs::Dense(b) if b.col_stride == 1);
    let lhs_in_place = plain && n <= FEW_COLUMNS;
    let k_block = equal_parts(k, kernel.steps * kernel.word.values(), 32);
    let mut product =
        Product { kernel, dst, add: update == Update::Add, scale, lhs, rhs, n, k, k_block, rhs_in_place };
    if lhs_in_place {
        product.run_rows(None, parallel, workers);
        return;
    }
    let tile_rows = product.kernel.rows;
    let row_words = product.kernel.word.count(k);
    let turn = (LHS_PACKED / row_words).max(256) / tile_rows * tile_rows;
    let turn = equal_parts(m, turn, tile_rows);
    let row_unit = product.kernel.row_unit;
    let mut packed = Buffer::take(turn.min(m).next_multiple_of(row_unit) * row_words);
    for first in (0..m).step_by(turn) {
        let rows = turn.min(m - first);
        let rows_held = rows.next_multiple_of(row_unit);
        product.lhs = lhs.block(first, rows, 0, k);
        product.dst.data = dst.data.wrapping_add(first * dst.stride);
        let packed = &mut packed[..rows_held * row_words];
        // Cut along `k` first, so that the block which a task reads lies in one piece.
        let parts = packed.chunks_mut(rows_held * product.kernel.word.count(k_block)).enumerate();
        for (part, packed) in parts {
            let k0 = part * k_block;
            let kc = k_block.min(k - k0);
            let panel_len = tile_rows * product.kernel.word.count(kc);
            let pack = |(i, panel): (usize, &mut [f32])| {
                lhs_panel(&product.kernel, product.lhs, i * tile_rows, (k0, kc), panel);
            };
            if parallel {
                packed.par_chunks_mut(panel_len).enumerate().with_min_len(4).for_each(pack);
            } else {
                packed.chunks_mut(panel_len).enumerate().for_each(pack);
            }
        }
        product.run_rows(Some(packed), parallel, workers);
    }
}

/// The length of the parts when `len` is cut into as few as possible of at most `most`,
/// rounded up to a multiple of `unit`.
fn equal_parts(len: usize, most: usize, unit: usize) -> usize {
    len.div_ceil(len.div_ceil(most.max(unit)).max(1)).next_multiple_of(unit)
}

impl Product<'_> {
    /// All rows of the (part of the) left operand, cut into tasks.
    fn run_rows(&self, packed: Option<&[f32]>, parallel: bool, workers: usize) {
        let m = self.lhs.rows;
        let (row_parts, col_parts) = grid(&self.kernel, m, self.n, workers);
        let rows_each = m.div_ceil(self.kernel.rows).div_ceil(row_parts) * self.kernel.rows;
        let cols_each = self.n.div_ceil(self.kernel.columns()).div_ceil(col_parts) * self.kernel.columns();
        let row_parts = m.div_ceil(rows_each);
        let col_parts = self.n.div_ceil(cols_each);
        let task = |index: usize| {
            let (i0, j0) = (index % row_parts * rows_each, index / row_parts * cols_each);
            self.task(packed, (i0, rows_each.min(m - i0)), (j0, cols_each.min(self.n - j0)));
        };
        if parallel {
            (0..row_parts * col_parts).into_par_iter().with_max_len(1).for_each(task);
        } else {
            (0..row_parts * col_parts).for_each(task);
        }
    }

    /// `rows` rows from `i0` and `cols` columns from `j0`.
    fn task(&self, packed: Option<&[f32]>, (i0, rows): (usize, usize), (j0, cols): (usize, usize)) {
        let kernel = &self.kernel;
        let width = kernel.columns();
        let block_rows =
            (LHS_BLOCK / kernel.word.count(self.k_block)).max(kernel.rows) / kernel.rows * kernel.rows;
        let panel_len = kernel.word.count(self.k_block.min(self.k)) * width;
        let mut panels =
            Buffer::take(if self.rhs_in_place { panel_len } else { cols.div_ceil(width) * panel_len });
        let mut edge = [0f32; 32 * 32];
        let _registers = kernel.registers();
        for k0 in (0..self.k).step_by(self.k_block) {
            let kc = self.k_block.min(self.k - k0);
            let steps = kernel.word.count(kc);
            if !self.rhs_in_place {
                rhs_panels(kernel, &self.rhs, (k0, kc), (j0, cols), &mut panels);
            }
            let add = self.add || k0 > 0;
            for ib in (i0..i0 + rows).step_by(block_rows) {
                let block_end = (ib + block_rows).min(i0 + rows);
                for j in (j0..j0 + cols).step_by(width) {
                    let live = width.min(j0 + cols - j);
                    let vectors = live.div_ceil(kernel.lanes);
                    let whole = live.is_multiple_of(kernel.lanes);
                    let (b, b_step) = match self.rhs {
                        Rhs::Dense(b) if self.rhs_in_place && whole => {
                            (b.data[k0 * b.row_stride + j..].as_ptr(), b.row_stride)
                        }
                        _ if self.rhs_in_place => {
                            // The last columns do not fill their vectors.
                            if ib == i0 {
                                rhs_panels(kernel, &self.rhs, (k0, kc), (j, live), &mut panels);
                            }
                            (panels.as_ptr(), width)
                        }
                        _ => (panels[(j - j0) / width * steps * width..].as_ptr(), width),
                    };
                    for i in (ib..block_end).step_by(kernel.rows) {
                        let r = kernel.rows.min(block_end - i);
                        let (a, a_row, a_step) = self.lhs_at(packed, i, r, (k0, steps));
                        let c = self.dst.data.wrapping_add(i * self.dst.stride + j);
                        let tile = kernel.tile(r, vectors);
                        let task = TileTask {
                            k: steps,
                            a,
                            a_row,
                            a_step,
                            b,
                            b_step,
                            c: edge.as_mut_ptr(),
                            c_row: width,
                            scale: self.scale,
                            add: false,
                        };
                        // SAFETY: the operands' views and panels hold `steps` steps of
                        // the tile's rows and vectors; the destination holds the tile,
                        // which no other task writes, or `edge` does, which is as large
                        // as the largest tile.
                        unsafe {
                            if whole && r.is_multiple_of(kernel.row_unit) {
                                tile(&TileTask { c, c_row: self.dst.stride, add, ..task });
                            } else {
                                tile(&task);
                                copy_tile(&edge, width, c, self.dst.stride, (r, live), add);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Where the left operand of the tile at row `i` is, with its strides.
    fn lhs_at(
        &self,
        packed: Option<&[f32]>,
        i: usize,
        rows: usize,
        (k0, steps): (usize, usize),
    ) -> (*const f32, usize, usize) {
        match packed {
            None => {
                let lhs = self.lhs;
                let at = i * lhs.row_stride + k0 * lhs.col_stride;
                (lhs.data[at..].as_ptr(), lhs.row_stride, lhs.col_stride)
            }
            // Panels are as wide as they have rows, and whole but for the last.
            Some(packed) => {
                let rows_held = self.lhs.rows.next_multiple_of(self.kernel.row_unit);
                let panel = packed[rows_held * self.kernel.word.count(k0) + i * steps..].as_ptr();
                match self.kernel.word {
                    // A register holds as many steps of a row as it has rows.
                    Word::RegisterPair => (panel, steps, self.kernel.row_unit * self.kernel.row_unit),
                    _ => (panel, 1, rows),
                }
            }
        }
    }
}

/// The first `live` columns of a tile, put or added to the destination.
///
/// # Safety
/// `c` holds `rows` rows of `live` elements, exclusively; initialised when added to.
unsafe fn copy_tile(
    tile: &[f32],
    width: usize,
    c: *mut f32,
    c_row: usize,
    (rows, live): (usize, usize),
    add: bool,
) {
    for (i, values) in tile.chunks_exact(width).take(rows).enumerate() {
        for (j, value) in values[..live].iter().enumerate() {
            // SAFETY: inside the rows and columns promised above.
            unsafe {
                let at = c.add(i * c_row + j);
                *at = if add { *at + value } else { *value };
            }
        }
    }
}

/// Into how many parts rows and columns are cut: the cheapest by a count of the work of
/// the busiest worker, in which packing a column costs as much as some rows of tiles.
fn grid(kernel: &Kernel, m: usize, n: usize, workers: usize) -> (usize, usize) {
    let (row_tiles, col_tiles) = (m.div_ceil(kernel.rows), n.div_ceil(kernel.columns()));
    let least = n.div_ceil(COLUMNS);
    if workers == 1 {
        return (1, least.min(col_tiles));
    }
    let mut best = (usize::MAX, (1, 1));
    for row_parts in 1..=row_tiles.min(workers) {
        for col_parts in least..=col_tiles.min(least + 2 * workers) {
            let turns = (row_parts * col_parts).div_ceil(workers);
            let rows = row_tiles.div_ceil(row_parts) * kernel.rows + kernel.packing;
            let cost = turns * rows * col_tiles.div_ceil(col_parts);
            if cost < best.0 {
                best = (cost, (row_parts, col_parts));
            }
        }
    }
    best.1
}
