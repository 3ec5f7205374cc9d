//! Operands turned into the panels that the micro-kernels read.
//!
//! A panel holds, step by step along `k`, the words of a few rows of the left operand
//! or of as many columns of the right one as a tile is wide.

#![allow(unsafe_code)]

use super::Matrix;
use super::buffer::Buffer;
use super::kernel::{Kernel, Packer, Word};
#[cfg(target_arch = "x86_64")]
use super::pack_avx2::{self as avx2, F32, PAIR, ROUNDED};
#[cfg(target_arch = "x86_64")]
use super::pack_avx512 as avx512;
use crate::weight_rows::WeightRows;

/// The right operand of a product.
#[derive(Clone, Copy)]
pub(crate) enum Rhs<'a> {
    /// A dense matrix `[k, n]`.
    Dense(Matrix<'a>),
    /// A stored weight `[k, n]`.
    Weight(WeightRows<'a>),
    /// A stored weight `[n, k]`, transposed.
    WeightT(WeightRows<'a>),
}

impl Rhs<'_> {
    /// `[k, n]`.
    pub fn dims(&self) -> (usize, usize) {
        match self {
            Rhs::Dense(matrix) => (matrix.rows, matrix.cols),
            Rhs::Weight(weight) => (weight.out, weight.inn),
            Rhs::WeightT(weight) => (weight.inn, weight.out),
        }
    }
}

/// Packs rows of `lhs` from `first`, `kc` of `k` from `k0`: as many rows as `panel` holds.
pub(super) fn lhs_panel(
    kernel: &Kernel,
    lhs: Matrix<'_>,
    first: usize,
    (k0, kc): (usize, usize),
    panel: &mut [f32],
) {
    let steps = kernel.word.count(kc);
    let rows = (panel.len() / steps).min(lhs.rows - first);
    let block = lhs.block(first, rows, k0, kc);
    #[cfg(target_arch = "x86_64")]
    if kernel.word == Word::RegisterPair {
        assert!(panel.len() >= rows.next_multiple_of(kernel.row_unit) * steps);
        let (pack, matrix): (unsafe fn(_, _, _, _), _) = if lhs.col_stride == 1 {
            (avx512::register_rows, block)
        } else {
            (avx512::register_columns, block.t())
        };
        // SAFETY: this word is chosen only where AVX-512 BF16 is; the view's rows lie inside its slice,
        // and the panel's length was checked.
        unsafe { pack((matrix.data.as_ptr(), matrix.row_stride), (rows, kc), steps, panel.as_mut_ptr()) };
        return;
    }
    if lhs.col_stride == 1 {
        rows_to_panel(kernel, block, panel, rows);
    } else {
        // Rows are columns of what is stored: they lie side by side.
        cols_to_panels(kernel, block.t(), panel, rows, 0);
    }
}

/// Packs `nc` columns of `rhs` from `j0` and `kc` rows from `k0` into panels.
pub(super) fn rhs_panels(
    kernel: &Kernel,
    rhs: &Rhs<'_>,
    (k0, kc): (usize, usize),
    (j0, nc): (usize, usize),
    panels: &mut [f32],
) {
    let width = kernel.columns();
    let panel_len = kernel.word.count(kc) * width;
    assert!(panels.len() >= nc.div_ceil(width) * panel_len);
    match *rhs {
        Rhs::Dense(matrix) if matrix.col_stride == 1 => {
            cols_to_panels(kernel, matrix.block(k0, kc, j0, nc), panels, width, panel_len);
        }
        Rhs::Dense(matrix) => {
            let columns = matrix.t();
            for (panel, first) in panels.chunks_mut(panel_len).zip((0..nc).step_by(width)) {
                let live = width.min(nc - first);
                rows_to_panel(kernel, columns.block(j0 + first, live, k0, kc), panel, width);
            }
        }
        Rhs::WeightT(weight) => {
            #[cfg(target_arch = "x86_64")]
            if super::pack4::weight_t_panels(kernel, weight, (k0, kc), (j0, nc), panels) {
                return;
            }
            let mut wide = Buffer::take(width * kc);
            for (panel, first) in panels.chunks_mut(panel_len).zip((0..nc).step_by(width)) {
                let live = width.min(nc - first);
                for (i, row) in wide[..live * kc].chunks_exact_mut(kc).enumerate() {
                    weight.widen_range((j0 + first + i) * weight.inn + k0, row);
                }
                rows_to_panel(kernel, Matrix::new(&wide, live, kc), panel, width);
            }
        }
        Rhs::Weight(weight) => {
            #[cfg(target_arch = "x86_64")]
            if super::pack4::weight_panels(kernel, weight, (k0, kc), (j0, nc), panels) {
                return;
            }
            // As many rows at a time as whole words, and registers, take.
            const ROWS: usize = 32;
            let mut wide = Buffer::take(ROWS * nc);
            for first in (0..kc).step_by(ROWS) {
                let rows = ROWS.min(kc - first);
                for (i, row) in wide[..rows * nc].chunks_exact_mut(nc).enumerate() {
                    weight.widen_range((k0 + first + i) * weight.inn + j0, row);
                }
                let at = kernel.word.count(first) * width;
                cols_to_panels(kernel, Matrix::new(&wide, rows, nc), &mut panels[at..], width, panel_len);
            }
        }
    }
}

/// Rows of contiguous values into one panel.
fn rows_to_panel(kernel: &Kernel, rows: Matrix<'_>, panel: &mut [f32], width: usize) {
    let (live, k) = (rows.rows, rows.cols);
    let steps = kernel.word.count(k);
    assert!(rows.col_stride == 1 && live <= width && panel.len() >= steps * width);
    if live == 0 || k == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let (src, dst) = (rows.data.as_ptr(), panel.as_mut_ptr());
        let pack = match kernel.word {
            Word::F32 => avx2::pack_rows::<F32>,
            Word::Rounded => avx2::pack_rows::<ROUNDED>,
            Word::Pair | Word::RegisterPair => avx2::pack_rows::<PAIR>,
        };
        // A panel of the left operand may be narrower than a vector.
        if kernel.packer == Packer::Avx512 && width.is_multiple_of(kernel.lanes) {
            // SAFETY: the kernel says that AVX-512 BF16 is there; the view's rows lie inside its slice,
            // and the panel's length was checked.
            unsafe { avx512::pack_rows((src, rows.row_stride), (live, k), steps, dst, width) };
            return;
        }
        if kernel.packer >= Packer::Avx2 {
            // SAFETY: as above, for AVX2.
            unsafe { pack(src, rows.row_stride, live, k, dst, width) };
            return;
        }
    }
    let each = kernel.word.values();
    for i in 0..live {
        let row = &rows.data[i * rows.row_stride..][..k];
        for (step, values) in row.chunks(each).enumerate() {
            let second = values.get(1).copied().unwrap_or(0.0);
            panel[step * width + i] = kernel.word.of(values[0], second);
        }
    }
}

/// Columns of values that are contiguous along a row, into panels `panel_len` words apart.
fn cols_to_panels(kernel: &Kernel, cols: Matrix<'_>, panels: &mut [f32], width: usize, panel_len: usize) {
    let (k, n) = (cols.rows, cols.cols);
    let steps = kernel.word.count(k);
    let panel_count = n.div_ceil(width);
    assert!(cols.col_stride == 1);
    if n == 0 || k == 0 {
        return;
    }
    let last = n - (panel_count - 1) * width;
    assert!(panels.len() >= (panel_count - 1) * panel_len + (steps - 1) * width + last);
    #[cfg(target_arch = "x86_64")]
    {
        let (src, dst) = (cols.data.as_ptr(), panels.as_mut_ptr());
        let pack = match kernel.word {
            Word::F32 => avx2::pack_cols::<F32>,
            Word::Rounded => avx2::pack_cols::<ROUNDED>,
            Word::Pair | Word::RegisterPair => avx2::pack_cols::<PAIR>,
        };
        if kernel.packer == Packer::Avx512 && width.is_multiple_of(kernel.lanes) {
            // SAFETY: the kernel says that AVX-512 BF16 is there; the view's rows lie inside its slice,
            // and the panels' length was checked.
            unsafe { avx512::pack_cols((src, cols.row_stride), (k, n), steps, dst, (width, panel_len)) };
            return;
        }
        if kernel.packer >= Packer::Avx2 {
            // SAFETY: as above, for AVX2.
            unsafe { pack(src, cols.row_stride, k, n, dst, width, panel_len) };
            return;
        }
    }
    let each = kernel.word.values();
    for step in 0..steps {
        let row = &cols.data[step * each * cols.row_stride..][..n];
        let has_next = each == 2 && 2 * step + 1 < k;
        for (panel, first) in (0..n).step_by(width).enumerate() {
            let live = width.min(n - first);
            let words = &mut panels[panel * panel_len + step * width..][..live];
            for (j, (word, &value)) in words.iter_mut().zip(&row[first..]).enumerate() {
                let next = (2 * step + 1) * cols.row_stride + first + j;
                *word = kernel.word.of(value, if has_next { cols.data[next] } else { 0.0 });
            }
        }
    }
}
