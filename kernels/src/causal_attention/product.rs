//! Products of matrices that lie in the cache, on one thread.
//!
//! A block of rows by one register's worth of columns is summed in registers while
//! the right matrix streams by; nothing is packed, which at these sizes would cost
//! as much as the product.

// Loops over the index of a lane are what the vectoriser turns into registers.
#![allow(clippy::needless_range_loop)]

use crate::isa::Isa;
use crate::lanes::{LANES, vectorised};

/// A matrix by its strides: element `(i, j)` is `data[i * row + j * col]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

/// Rows of contiguous elements, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

/// As [`Right`], to be written.
pub(super) struct Target<'a> {
    pub data: &'a mut [f32],
    pub stride: usize,
}

/// What happens to the old contents of the target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    Replace,
    Add,
}

/// `target[m, n] = left[m, k] · right[k, n]`, or `+=`.
///
/// # Panics
/// If a matrix does not reach as far as the sizes say.
pub(super) fn product(
    [m, n, k]: [usize; 3],
    target: Target<'_>,
    update: Update,
    left: Left<'_>,
    right: Right<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * target.stride + n <= target.data.len(), "the target of a product is too short");
    if k > 0 {
        let last = (m - 1) * left.row + (k - 1) * left.col;
        assert!(last < left.data.len(), "the left matrix of a product is too short");
        assert!((k - 1) * right.stride + n <= right.data.len(), "the right matrix of a product is too short");
    }
    let blocks = Blocks { m, n, k, update, left, right };
    // The sums of a block fill the registers there are, and not more.
    match Isa::active() {
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => vectorised(
            #[inline(always)]
            || blocks.all::<12>(target),
        ),
        _ => vectorised(
            #[inline(always)]
            || blocks.all::<6>(target),
        ),
    }
}

/// A product whose bounds are checked: `left` holds `[m, k]` and `right` `[k, n]`.
struct Blocks<'a> {
    m: usize,
    n: usize,
    k: usize,
    update: Update,
    left: Left<'a>,
    right: Right<'a>,
}

impl Blocks<'_> {
    #[inline(always)]
    fn all<const ROWS: usize>(&self, mut target: Target<'_>) {
        let whole = self.n / LANES * LANES;
        for j in (0..whole).step_by(LANES) {
            let mut i = 0;
            while i + ROWS <= self.m {
                self.block::<ROWS>(&mut target, i, j);
                i += ROWS;
            }
            while i + 2 <= self.m {
                self.block::<2>(&mut target, i, j);
                i += 2;
            }
            if i < self.m {
                self.block::<1>(&mut target, i, j);
            }
        }
        if whole < self.n {
            self.last_columns(&mut target, whole);
        }
    }

    /// Rows `i..i + ROWS` by columns `j..j + LANES`.
    #[inline(always)]
    fn block<const ROWS: usize>(&self, target: &mut Target<'_>, i: usize, j: usize) {
        let mut sums = [[0f32; LANES]; ROWS];
        for l in 0..self.k {
            // SAFETY: `product` checked that row `l < k` of `right` holds `n` elements,
            // and `j + LANES <= n`.
            #[allow(unsafe_code)]
            let right: &[f32; LANES] =
                unsafe { &*self.right.data.as_ptr().add(l * self.right.stride + j).cast() };
            for r in 0..ROWS {
                // SAFETY: `product` checked element `(m - 1, k - 1)` of `left`, and
                // `i + r < m`, `l < k`.
                #[allow(unsafe_code)]
                let x = unsafe { *self.left.data.get_unchecked((i + r) * self.left.row + l * self.left.col) };
                for e in 0..LANES {
                    sums[r][e] = x.mul_add(right[e], sums[r][e]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let at = (i + r) * target.stride + j;
            let target = &mut target.data[at..at + LANES];
            match self.update {
                Update::Replace => target.copy_from_slice(sums),
                Update::Add => target.iter_mut().zip(sums).for_each(|(t, s)| *t += s),
            }
        }
    }

    /// Columns from `j` on, fewer than `LANES`.
    #[inline(always)]
    fn last_columns(&self, target: &mut Target<'_>, j: usize) {
        let width = self.n - j;
        for i in 0..self.m {
            let mut sums = [0f32; LANES];
            for l in 0..self.k {
                let x = self.left.data[i * self.left.row + l * self.left.col];
                let right = &self.right.data[l * self.right.stride + j..][..width];
                for (sum, &y) in sums.iter_mut().zip(right) {
                    *sum = x.mul_add(y, *sum);
                }
            }
            let target = &mut target.data[i * target.stride + j..][..width];
            for (t, s) in target.iter_mut().zip(sums) {
                *t = if self.update == Update::Add { *t + s } else { s };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn products_of_odd_shapes_strides_and_orientations() {
        for [m, n, k] in [[1, 1, 1], [3, 16, 5], [13, 33, 7], [6, 32, 9], [29, 15, 64], [5, 48, 0]] {
            for transposed in [false, true] {
                for update in [Update::Replace, Update::Add] {
                    let (row, col) = if transposed { (1, m + 2) } else { (k + 1, 1) };
                    let a = values(m * k + 3 * (m + k) + 9, 1);
                    let (right_stride, stride) = (n + 3, n + 2);
                    let b = values(k * right_stride + n, 2);
                    let mut c = values(m * stride, 3);
                    let before = c.clone();
                    product(
                        [m, n, k],
                        Target { data: &mut c, stride },
                        update,
                        Left { data: &a, row, col },
                        Right { data: &b, stride: right_stride },
                    );
                    for i in 0..m {
                        for j in 0..stride {
                            let old = f64::from(before[i * stride + j]);
                            let sum: f64 = (0..k)
                                .map(|l| {
                                    f64::from(a[i * row + l * col])
                                        * f64::from(b[l * right_stride + j.min(n - 1)])
                                })
                                .sum();
                            let want = match update {
                                _ if j >= n => old, // the gap between rows stays as it was
                                Update::Replace => sum,
                                Update::Add => old + sum,
                            };
                            let got = f64::from(c[i * stride + j]);
                            assert!((got - want).abs() < 1e-4, "{m} {n} {k} at {i} {j}: {got} {want}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the right matrix of a product is too short")]
    fn a_matrix_that_is_too_short_is_refused() {
        let target = Target { data: &mut [0.0; 4], stride: 2 };
        let left = Left { data: &[0.0; 4], row: 2, col: 1 };
        product([2, 2, 2], target, Update::Replace, left, Right { data: &[0.0; 3], stride: 2 });
    }
}
