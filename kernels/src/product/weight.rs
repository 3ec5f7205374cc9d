//! Products with a stored weight.

use rayon::prelude::*;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::few_rows::FewRows;
use super::{ComputeType, Matrix, Rhs, dots, product};
use crate::lanes::{dot, dot_bf16, vectorised};
use crate::values::Values;
use crate::weight_rows::{Stored, WeightRows};

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

    /// `y[m, out] = x[m, in] · Wᵀ`.
    ///
    /// A few rows are bound by reading the weight, so they are computed from exact
    /// operands whatever the compute type.
    pub fn project(self, x: &[f32], m: usize, compute: ComputeType) -> Values {
        if compute == ComputeType::BatchInvariant {
            return self.project_rows(x, m);
        }
        if m <= FEW_ROWS {
            return self.project_few(x, m).into();
        }
        product(1.0, Matrix::new(x, m, self.inn), self.rhs_t(), compute)
    }

    /// Every row of the result as if it were alone.
    fn project_rows(self, x: &[f32], m: usize) -> Values {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if m > 0 && self.out > 0 && self.inn > 0 && FewRows::suits(self) {
            // As decoding reads it, a few rows at a time.
            let mut y = Values::unset(m * self.out);
            let parts = y.chunks_mut(FEW_ROWS * self.out).zip(x.chunks(FEW_ROWS * self.inn));
            parts.for_each(|(y, x)| y.copy_from_slice(&self.project_few(x, x.len() / self.inn)));
            return y;
        }
        dots::project(self, x, m)
    }

    /// A few input rows: each weight row is read once and dotted with all of them.
    // A function's name in place of a closure would be called, and compiled without vectors.
    #[allow(clippy::redundant_closure)]
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
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(rows) = FewRows::new(self, x, m) {
            y.par_chunks_mut(ROWS_EACH * m).enumerate().for_each_init(Vec::new, |scales, (chunk, y)| {
                rows.dots(chunk * ROWS_EACH, scales, y);
            });
            return if m == 1 { y } else { transpose(&y, self.out, m) };
        }
        let widened = match self.stored {
            Stored::F32(_) | Stored::Bf16(_) => 0,
            Stored::F16(_) | Stored::Packed4(_) => self.inn,
        };
        y.par_chunks_mut(ROWS_EACH * m).enumerate().for_each_init(
            || vec![0f32; widened],
            |buffer, (chunk, y)| {
                let first = chunk * ROWS_EACH;
                let rows = (self.first + first) * self.inn..(self.first + first + y.len() / m) * self.inn;
                vectorised(
                    #[inline(always)]
                    || match self.stored {
                        Stored::F32(values) => each_dot(
                            &values[rows],
                            x,
                            self.inn,
                            y,
                            #[inline(always)]
                            |w, x| dot(w, x),
                        ),
                        Stored::Bf16(values) => each_dot(
                            &values[rows],
                            x,
                            self.inn,
                            y,
                            #[inline(always)]
                            |w, x| dot_bf16(w, x),
                        ),
                        Stored::F16(_) | Stored::Packed4(_) => {
                            for (i, y) in y.chunks_exact_mut(m).enumerate() {
                                self.widen_here(first + i, buffer);
                                each_dot(
                                    buffer,
                                    x,
                                    self.inn,
                                    y,
                                    #[inline(always)]
                                    |w, x| dot(w, x),
                                );
                            }
                        }
                    },
                );
            },
        );
        if m == 1 { y } else { transpose(&y, self.out, m) }
    }

    /// `dx[m, in] = dy[m, out] · W`.
    pub fn project_back(self, dy: &[f32], m: usize, compute: ComputeType) -> Values {
        product(1.0, Matrix::new(dy, m, self.out), self.rhs(), compute)
    }
}

/// `y[rows, m]`, the products of rows of `weights` and of `x`, both of `inn` values. `dot` is a closure to be
/// inlined.
#[inline(always)]
fn each_dot<T>(weights: &[T], x: &[f32], inn: usize, y: &mut [f32], dot: impl Fn(&[T], &[f32]) -> f32) {
    let m = x.len() / inn;
    for (weights, y) in weights.chunks_exact(inn).zip(y.chunks_exact_mut(m)) {
        for (y, x) in y.iter_mut().zip(x.chunks_exact(inn)) {
            *y = dot(weights, x);
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blockwise4::{self, AbsmaxView, Code4, Packed4View, Rounding};
    use crate::isa::Isa;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_few_rows_and_rows_alone_are_what_plain_sums_give(
            m in 0usize..9, out in 1usize..80, inn in 1usize..20, unit in prop::sample::select(vec![1usize, 16, 32, 96]),
            block in prop::sample::select(vec![32usize, 64, 128]), first in 0usize..3, dense: bool, seed: u32,
        ) {
            let inn = inn * unit;
            let len = (first + out) * inn;
            let (w, x) = (values(len, seed), values(m * inn, !seed));
            let (packed, absmax) = blockwise4::quantized(Code4::Nf4, block, Rounding::Cuda, &w);
            let absmax = AbsmaxView::Plain(&absmax);
            let view = Packed4View { code: Code4::Nf4, block_size: block, packed: &packed, absmax, len };
            let w = if dense { w.clone() } else { blockwise4::dequantized(&view) };
            let stored = if dense { Stored::F32(&w) } else { Stored::Packed4(view) };
            let weight = WeightRows { out, inn, first, stored };
            for compute in [ComputeType::F32, ComputeType::BatchInvariant] {
                let y = weight.project(&x, m, compute);
                for (at, y) in y.iter().enumerate() {
                    let (i, j) = (at / out, first + at % out);
                    let (x, w) = (&x[i * inn..][..inn], &w[j * inn..][..inn]);
                    let want: f64 = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                    let bound = 2e-5 * (inn as f64).sqrt();
                    prop_assert!(
                        (f64::from(*y) - want).abs() < bound,
                        "{compute:?} {} {m}x{inn}x{out}, dense {dense}: {y}, not {want}", Isa::active(),
                    );
                }
            }
        }
    }
}
