//! Operands turned into the panels that the micro-kernels read.
//!
//! A panel holds, step by step along `k`, the words of a few rows of the left operand
//! or of as many columns of the right one as a tile is wide.

#![allow(unsafe_code)]

use super::Matrix;
use super::buffer::Buffer;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
use super::kernel::Packer;
use super::kernel::{Kernel, Word};
#[cfg(target_arch = "x86_64")]
use super::pack_avx512 as avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::pack_vectors as vectors;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::word::{F32, PAIR, ROUNDED};
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
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
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
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
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
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let (src, dst) = (rows.data.as_ptr(), panel.as_mut_ptr());
        let pack = match kernel.word {
            Word::F32 => vectors::pack_rows::<F32>,
            Word::Rounded => vectors::pack_rows::<ROUNDED>,
            Word::Pair | Word::RegisterPair => vectors::pack_rows::<PAIR>,
        };
        // A panel of the left operand may be narrower than a vector.
        #[cfg(target_arch = "x86_64")]
        if kernel.packer == Packer::Avx512 && width.is_multiple_of(kernel.lanes) {
            // SAFETY: the kernel says that AVX-512 BF16 is there; the view's rows lie inside its slice,
            // and the panel's length was checked.
            unsafe { avx512::pack_rows((src, rows.row_stride), (live, k), steps, dst, width) };
            return;
        }
        if kernel.packer >= Packer::Vectors {
            // SAFETY: as above, for AVX2 or NEON.
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
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let (src, dst) = (cols.data.as_ptr(), panels.as_mut_ptr());
        let pack = match kernel.word {
            Word::F32 => vectors::pack_cols::<F32>,
            Word::Rounded => vectors::pack_cols::<ROUNDED>,
            Word::Pair | Word::RegisterPair => vectors::pack_cols::<PAIR>,
        };
        #[cfg(target_arch = "x86_64")]
        if kernel.packer == Packer::Avx512 && width.is_multiple_of(kernel.lanes) {
            // SAFETY: the kernel says that AVX-512 BF16 is there; the view's rows lie inside its slice,
            // and the panels' length was checked.
            unsafe { avx512::pack_cols((src, cols.row_stride), (k, n), steps, dst, (width, panel_len)) };
            return;
        }
        if kernel.packer >= Packer::Vectors {
            // SAFETY: as above, for AVX2 or NEON.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blockwise4::{self, AbsmaxView, Code4, Packed4View, Rounding};
    #[cfg(target_arch = "x86_64")]
    use crate::isa::Isa;
    use crate::product::ComputeType;
    use crate::weight_rows::Stored;

    /// The kernel of this machine for one kind of words, with a packer.
    fn kernel(word: Word, packer: Packer) -> Kernel {
        Kernel { word, packer, ..Kernel::active(ComputeType::F32) }
    }

    /// The packers of this machine that pack such words by vectors.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    fn packers(word: Word) -> Vec<Packer> {
        let mut packers = Vec::new();
        if Kernel::active(ComputeType::F32).packer >= Packer::Vectors {
            packers.push(Packer::Vectors);
        }
        #[cfg(target_arch = "x86_64")]
        if word == Word::Pair && Isa::active() >= Isa::Avx512Bf16 {
            packers.push(Packer::Avx512);
        }
        packers
    }

    /// Values of every kind of rounding, some of them not finite, but none that is not normal: AVX-512 BF16
    /// takes those for zeros.
    fn values(n: usize, seed: u32) -> Vec<f32> {
        let bits = |i: u32| (i ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x9e37_79b1);
        let normal = |v: f32| if v.is_subnormal() { 0.0 } else { v };
        (0..n as u32).map(|i| normal(f32::from_bits(bits(i)))).collect()
    }

    /// The words of the panels' `live` columns, which packing with vectors and without must agree in.
    fn same(
        word: Word,
        (k, n, width): (usize, usize, usize),
        pack: impl Fn(&Kernel, &mut [f32]),
    ) -> Result<(), TestCaseError> {
        let panel_len = word.count(k) * width;
        let packed = |packer| {
            let mut panels = vec![7.0; n.div_ceil(width) * panel_len];
            pack(&kernel(word, packer), &mut panels);
            panels
        };
        let plain = packed(Packer::Portable);
        for packer in packers(word) {
            let fast = packed(packer);
            for j in 0..n {
                for step in 0..word.count(k) {
                    let at = j / width * panel_len + step * width + j % width;
                    let (fast, plain) = (fast[at].to_bits(), plain[at].to_bits());
                    prop_assert_eq!(
                        fast,
                        plain,
                        "{:?} {:?} {}x{}: step {} of column {}",
                        packer,
                        word,
                        k,
                        n,
                        step,
                        j
                    );
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn vectors_pack_dense_operands_as_loops_do(
            k in 1usize..40, n in 1usize..70, rows in 1usize..13, extra in 0usize..5, seed: u32,
        ) {
            let widest = Kernel::active(ComputeType::F32);
            let (width, rows) = (widest.columns(), rows.min(widest.rows));
            let wide = values((n + k + extra) * n.max(k).max(rows), seed);
            for word in [Word::F32, Word::Rounded, Word::Pair] {
                let lhs = Matrix::strided(&wide, rows, k, k + extra);
                let lhs_t = Matrix::strided(&wide, k, rows, rows + extra).t();
                for lhs in [lhs, lhs_t] {
                    same(word, (k, rows, rows), |kernel, panel| lhs_panel(kernel, lhs, 0, (0, k), panel))?;
                }
                let rhs = Matrix::strided(&wide, k, n, n + extra);
                let rhs_t = Matrix::strided(&wide, n, k, k + extra).t();
                for rhs in [Rhs::Dense(rhs), Rhs::Dense(rhs_t)] {
                    same(word, (k, n, width), |kernel, panels| {
                        rhs_panels(kernel, &rhs, (0, k), (0, n), panels);
                    })?;
                }
            }
        }

        #[test]
        fn vectors_unpack_4_bit_weights_as_loops_do(
            units in 1usize..6, out in 1usize..70, first in 0usize..3, cut in 0usize..6, seed: u32,
        ) {
            let widest = Kernel::active(ComputeType::F32);
            let (inn, width) = (16 * units, widest.columns());
            let len = (first + out) * inn;
            let dense: Vec<f32> = (0..len).map(|i| ((i as u32 ^ seed) % 1000) as f32 / 500.0 - 1.0).collect();
            let (packed, absmax) = blockwise4::quantized(Code4::Nf4, 32, Rounding::Cuda, &dense);
            let absmax = AbsmaxView::Plain(&absmax);
            let view = Packed4View { code: Code4::Nf4, block_size: 32, packed: &packed, absmax, len };
            let weight = WeightRows { out, inn, first, stored: Stored::Packed4(view) };
            let from = 16 * cut.min(units - 1);
            for word in [Word::F32, Word::Rounded, Word::Pair] {
                same(word, (inn - from, out, width), |kernel, panels| {
                    rhs_panels(kernel, &Rhs::WeightT(weight), (from, inn - from), (0, out), panels);
                })?;
                same(word, (out, inn - from, width), |kernel, panels| {
                    rhs_panels(kernel, &Rhs::Weight(weight), (0, out), (from, inn - from), panels);
                })?;
            }
        }
    }
}
