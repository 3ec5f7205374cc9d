//! Weights that are read a few rows at a time.
//!
//! A matrix `[out, in]` may be stored as f32, as 16-bit floats or packed to 4 bits.
//! Products widen it a panel at a time, so nothing dense of the matrix's shape is
//! ever held unless it already is f32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::blockwise4::Packed4View;
use crate::lanes::vectorised;

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

impl WeightRows<'_> {
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
}
