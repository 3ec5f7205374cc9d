//! Weights that are read a few rows at a time, and products with them.
//!
//! A matrix `[out, in]` may be stored as f32, as 16-bit floats or packed to 4 bits.
//! Products go through tiles of rows in f32, so nothing dense of the matrix's
//! shape is ever held unless it already is f32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::blockwise4::Packed4View;
use crate::lanes::{dot, vectorised};
use crate::product::{Matrix, MatrixMut, Threads, Update, multiply};

/// A stored weight matrix.
#[derive(Clone, Copy)]
pub(crate) struct WeightRows<'a> {
    /// Rows: output features.
    pub out: usize,
    /// Columns: input features.
    pub inn: usize,
    /// How the values are stored, row-major.
    pub stored: Stored<'a>,
}

/// Storage of a weight's values.
#[derive(Clone, Copy)]
pub(crate) enum Stored<'a> {
    /// Dense f32.
    F32(&'a [f32]),
    /// Dense IEEE half precision.
    F16(&'a [f16]),
    /// Dense bfloat16.
    Bf16(&'a [bf16]),
    /// 4-bit blocks.
    Packed4(Packed4View<'a>),
}

/// Values in a tile of widened rows: 2 MiB, which stays in the second-level cache.
const TILE_VALUES: usize = 1 << 19;

/// Up to this many input rows a product reads the weight row by row with dot products.
const FEW_ROWS: usize = 4;

impl WeightRows<'_> {
    /// Writes rows `first..` as f32 into `out`, which holds whole rows, in parallel.
    pub fn widen(&self, first: usize, out: &mut [f32]) {
        let rows_each = (8192 / self.inn.max(1)).max(1);
        out.par_chunks_mut(rows_each * self.inn.max(1)).enumerate().for_each(|(i, part)| {
            self.widen_here(first + i * rows_each, part);
        });
    }

    /// As [`Self::widen`], on this thread.
    pub fn widen_here(&self, first: usize, out: &mut [f32]) {
        let start = first * self.inn;
        let range = start..start + out.len();
        match self.stored {
            Stored::F32(values) => out.copy_from_slice(&values[range]),
            Stored::F16(values) => values[range].convert_to_f32_slice(out),
            Stored::Bf16(values) => vectorised(
                #[inline(always)]
                || {
                    for (o, v) in out.iter_mut().zip(&values[range]) {
                        *o = f32::from_bits(u32::from(v.to_bits()) << 16);
                    }
                },
            ),
            Stored::Packed4(view) => view.dequantize_range(start, out),
        }
    }

    /// Rows per tile.
    fn tile_rows(&self) -> usize {
        (TILE_VALUES / self.inn.max(1)).clamp(64, 1024).min(self.out.max(1))
    }

    /// Calls `f(first row, rows)` for each tile in turn; the tile's buffer is reused.
    pub fn for_each_tile(&self, mut f: impl FnMut(usize, &[f32])) {
        if let Stored::F32(values) = self.stored {
            return f(0, values);
        }
        let tile_rows = self.tile_rows();
        let mut tile = vec![0f32; tile_rows * self.inn];
        for first in (0..self.out).step_by(tile_rows) {
            let rows = tile_rows.min(self.out - first);
            let tile = &mut tile[..rows * self.inn];
            self.widen(first, tile);
            f(first, tile);
        }
    }

    /// `y[m, out] = x[m, in] · Wᵀ`.
    pub fn project(&self, x: &[f32], m: usize) -> Vec<f32> {
        if m <= FEW_ROWS {
            return self.project_few(x, m);
        }
        let mut y = vec![0f32; m * self.out];
        self.project_into(x, m, &mut y);
        y
    }

    /// As [`Self::project`], into a buffer of `m * out` values.
    pub fn project_into(&self, x: &[f32], m: usize, y: &mut [f32]) {
        if m == 0 || self.inn == 0 {
            return y.fill(0.0);
        }
        self.for_each_tile(|first, tile| {
            let rows = tile.len() / self.inn;
            multiply(
                MatrixMut::strided(&mut y[first..], m, rows, self.out),
                Update::Replace,
                1.0,
                Matrix::new(x, m, self.inn),
                Matrix::new(tile, rows, self.inn).t(),
                Threads::All,
            );
        });
    }

    /// A few input rows: each weight row is read once and dotted with all of them.
    fn project_few(&self, x: &[f32], m: usize) -> Vec<f32> {
        const ROWS_EACH: usize = 32;
        if m == 0 {
            return Vec::new();
        }
        if self.inn == 0 {
            return vec![0.0; m * self.out];
        }
        // transposed: [out, m]
        let mut y = vec![0f32; self.out * m];
        y.par_chunks_mut(ROWS_EACH * m).enumerate().for_each_init(
            || vec![0f32; if matches!(self.stored, Stored::F32(_)) { 0 } else { self.inn }],
            |buffer, (chunk, y)| {
                for (i, y) in y.chunks_exact_mut(m).enumerate() {
                    let row = chunk * ROWS_EACH + i;
                    let weights: &[f32] = match self.stored {
                        Stored::F32(values) => &values[row * self.inn..(row + 1) * self.inn],
                        _ => {
                            self.widen_here(row, buffer);
                            buffer
                        }
                    };
                    vectorised(
                        #[inline(always)]
                        || {
                            for (y, x) in y.iter_mut().zip(x.chunks_exact(self.inn)) {
                                *y = dot(weights, x);
                            }
                        },
                    );
                }
            },
        );
        if m == 1 { y } else { transpose(&y, self.out, m) }
    }

    /// `dx[m, in] = dy[m, out] · W`.
    pub fn project_back(&self, dy: &[f32], m: usize) -> Vec<f32> {
        let mut dx = vec![0f32; m * self.inn];
        if m == 0 || self.inn == 0 {
            return dx;
        }
        self.for_each_tile(|first, tile| {
            let rows = tile.len() / self.inn;
            multiply(
                MatrixMut::new(&mut dx, m, self.inn),
                if first == 0 { Update::Replace } else { Update::Add },
                1.0,
                Matrix::strided(&dy[first..], m, rows, self.out),
                Matrix::new(tile, rows, self.inn),
                Threads::All,
            );
        });
        dx
    }
}

/// `[rows, cols]` to `[cols, rows]`.
fn transpose(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for j in 0..cols {
        out.extend((0..rows).map(|i| values[i * cols + j]));
    }
    out
}
