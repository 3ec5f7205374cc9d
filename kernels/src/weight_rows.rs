//! Weights that are read a few rows at a time, and products with them.
//!
//! A matrix `[out, in]` may be stored as f32, as 16-bit floats or packed to 4 bits.
//! Products widen it a panel at a time, so nothing dense of the matrix's shape is
//! ever held unless it already is f32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::blockwise4::Packed4View;
use crate::lanes::{dot, vectorised};
#[cfg(target_arch = "x86_64")]
use crate::product::FewRows;
use crate::product::{ComputeType, Matrix, Rhs, product};
use crate::values::Values;

/// A stored weight matrix.
#[derive(Clone, Copy)]
pub(crate) struct WeightRows<'a> {
    /// Rows: output features.
    pub out: usize,
    /// Columns: input features.
    pub inn: usize,
    /// Row of the stored matrix that row 0 is.
    pub first: usize,
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

/// Up to this many input rows a product reads the weight row by row with dot products.
const FEW_ROWS: usize = 4;

impl<'a> WeightRows<'a> {
    /// `W` as the right operand of a product.
    pub fn rhs(self) -> Rhs<'a> {
        match self.stored {
            Stored::F32(values) => {
                Rhs::Dense(Matrix::new(&values[self.first * self.inn..], self.out, self.inn))
            }
            _ => Rhs::Weight(self),
        }
    }

    /// `Wᵀ` as the right operand of a product.
    pub fn rhs_t(self) -> Rhs<'a> {
        match self.stored {
            Stored::F32(values) => {
                Rhs::Dense(Matrix::new(&values[self.first * self.inn..], self.out, self.inn).t())
            }
            _ => Rhs::WeightT(self),
        }
    }

    /// `rows` rows from `first` as a matrix of their own.
    pub fn narrow(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.out);
        Self { out: rows, first: self.first + first, ..self }
    }

    /// Writes rows `first..` as f32 into `out`, which holds whole rows.
    pub fn widen_here(&self, first: usize, out: &mut [f32]) {
        self.widen_range(first * self.inn, out);
    }

    /// Writes the flat elements from `start` as f32.
    pub fn widen_range(&self, start: usize, out: &mut [f32]) {
        let start = start + self.first * self.inn;
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

    /// `y[m, out] = x[m, in] · Wᵀ`.
    ///
    /// A few rows are bound by reading the weight, so they are computed from exact
    /// operands whatever the compute type.
    pub fn project(self, x: &[f32], m: usize, compute: ComputeType) -> Values {
        if m <= FEW_ROWS {
            return self.project_few(x, m).into();
        }
        product(1.0, Matrix::new(x, m, self.inn), self.rhs_t(), compute)
    }

    /// A few input rows: each weight row is read once and dotted with all of them.
    fn project_few(self, x: &[f32], m: usize) -> Vec<f32> {
        const ROWS_EACH: usize = 32;
        if m == 0 {
            return Vec::new();
        }
        if self.inn == 0 {
            return vec![0.0; m * self.out];
        }
        // transposed: [out, m]
        let mut y = vec![0f32; self.out * m];
        #[cfg(target_arch = "x86_64")]
        if let Some(rows) = FewRows::new(self, x, m) {
            y.par_chunks_mut(ROWS_EACH * m).enumerate().for_each_init(Vec::new, |scales, (chunk, y)| {
                for (i, y) in y.chunks_exact_mut(m).enumerate() {
                    rows.dot(chunk * ROWS_EACH + i, scales, y);
                }
            });
            return if m == 1 { y } else { transpose(&y, self.out, m) };
        }
        y.par_chunks_mut(ROWS_EACH * m).enumerate().for_each_init(
            || vec![0f32; if matches!(self.stored, Stored::F32(_)) { 0 } else { self.inn }],
            |buffer, (chunk, y)| {
                for (i, y) in y.chunks_exact_mut(m).enumerate() {
                    let row = chunk * ROWS_EACH + i;
                    let weights: &[f32] = match self.stored {
                        Stored::F32(values) => &values[(self.first + row) * self.inn..][..self.inn],
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
    pub fn project_back(self, dy: &[f32], m: usize, compute: ComputeType) -> Values {
        product(1.0, Matrix::new(dy, m, self.out), self.rhs(), compute)
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
