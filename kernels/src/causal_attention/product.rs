//! Products of matrices that lie in the cache, on one thread.
//!
//! A block of rows by one or two registers' worth of columns is summed in registers while
//! the right matrix streams by, in panels where it is used often enough to pay for their packing.
//! Every element is one sum, taken in the order of the inner dimension: how a matrix lies and how
//! large the blocks are does not change a bit.

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

/// A matrix cut into panels of [`LANES`] columns, of which the last may be narrower: element `(i, j)`
/// is `data[j / LANES * panel + i * stride + j % LANES]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub panel: usize,
}

impl<'a> Right<'a> {
    /// Rows of contiguous elements, `stride` apart.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, panel: LANES }
    }

    /// Panels of `rows` rows, end to end: a product reads them from the first element to the last.
    pub fn panels(data: &'a [f32], rows: usize) -> Self {
        Self { data, stride: LANES, panel: rows * LANES }
    }
}

/// Rows of contiguous elements, `stride` apart, to be written.
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
        let ends = [(n / LANES).checked_sub(1).map(|whole| (whole, LANES)), Some((n / LANES, n % LANES))];
        let end = ends.into_iter().flatten().filter(|&(_, width)| width > 0);
        let end = end.map(|(panel, width)| panel * right.panel + (k - 1) * right.stride + width).max();
        assert!(end <= Some(right.data.len()), "the right matrix of a product is too short");
    }
    let blocks = Blocks { m, n, k, update, left, right };
    // The sums of a block fill the registers there are, and not more.
    match Isa::active() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => blocks.all::<avx512::Sums, 12, 2>(target),
        _ => vectorised(
            #[inline(always)]
            || blocks.all::<Lanes, 6, 1>(target),
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
    fn all<S: Sums, const ROWS: usize, const PANELS: usize>(&self, mut target: Target<'_>) {
        let whole = self.n / LANES;
        let mut panel = 0;
        while panel + PANELS <= whole {
            self.columns::<S, ROWS, PANELS>(&mut target, panel);
            panel += PANELS;
        }
        while panel < whole {
            self.columns::<S, ROWS, 1>(&mut target, panel);
            panel += 1;
        }
        if whole * LANES < self.n {
            self.last_columns(&mut target, whole);
        }
    }

    /// All rows of `PANELS` panels of columns.
    #[inline(always)]
    fn columns<S: Sums, const ROWS: usize, const PANELS: usize>(
        &self,
        target: &mut Target<'_>,
        panel: usize,
    ) {
        let mut i = 0;
        while i + ROWS <= self.m {
            self.block::<S, ROWS, PANELS>(target, i, panel);
            i += ROWS;
        }
        while i + 4 <= self.m {
            self.block::<S, 4, PANELS>(target, i, panel);
            i += 4;
        }
        while i < self.m {
            self.block::<S, 1, PANELS>(target, i, panel);
            i += 1;
        }
    }

    /// Rows `i..i + ROWS` by the columns of `PANELS` panels.
    #[inline(always)]
    fn block<S: Sums, const ROWS: usize, const PANELS: usize>(
        &self,
        target: &mut Target<'_>,
        i: usize,
        panel: usize,
    ) {
        let Self { k, update, left, right, .. } = *self;
        let at = i * target.stride + panel * LANES;
        let to = &mut target.data[at..][..(ROWS - 1) * target.stride + PANELS * LANES];
        let block = Block {
            k,
            left: Left { data: left.data.get(i * left.row..).unwrap_or_default(), ..left },
            right: Right { data: right.data.get(panel * right.panel..).unwrap_or_default(), ..right },
            update,
            to,
            stride: target.stride,
        };
        // SAFETY: `product` checked the last element of `left` and that `right` holds row `k - 1` of its last
        // whole panel, and `i + ROWS <= m`; the target was just cut. `product` saw the instruction set.
        #[allow(unsafe_code)]
        unsafe {
            S::sum::<ROWS, PANELS>(block);
        }
    }

    /// The columns of a panel narrower than `LANES`.
    #[inline(always)]
    fn last_columns(&self, target: &mut Target<'_>, panel: usize) {
        let j = panel * LANES;
        let width = self.n - j;
        for i in 0..self.m {
            let mut sums = [0f32; LANES];
            for l in 0..self.k {
                let x = self.left.data[i * self.left.row + l * self.left.col];
                let right = &self.right.data[panel * self.right.panel + l * self.right.stride..][..width];
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

/// Some rows by some whole panels.
struct Block<'a> {
    k: usize,
    left: Left<'a>,
    right: Right<'a>,
    update: Update,
    to: &'a mut [f32],
    stride: usize,
}

/// How the sums of a block are held.
trait Sums {
    /// The product of `ROWS` rows and `PANELS` panels.
    ///
    /// # Safety
    /// `left` holds the rows and `right` the whole panels, both `k` long, and `to` that many rows of as many
    /// values; the processor has the instructions.
    #[allow(unsafe_code)]
    unsafe fn sum<const ROWS: usize, const PANELS: usize>(block: Block<'_>);
}

/// Sums in arrays, which the compiler turns into registers: the reference of every instruction set.
struct Lanes;

impl Sums for Lanes {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn sum<const ROWS: usize, const PANELS: usize>(block: Block<'_>) {
        let Block { k, left, right, update, to, stride } = block;
        for p in 0..PANELS {
            let mut sums = [[0f32; LANES]; ROWS];
            for l in 0..k {
                // SAFETY: as the caller promised.
                let right: &[f32; LANES] =
                    unsafe { &*right.data.as_ptr().add(p * right.panel + l * right.stride).cast() };
                for r in 0..ROWS {
                    // SAFETY: as the caller promised.
                    let x = unsafe { *left.data.get_unchecked(r * left.row + l * left.col) };
                    for e in 0..LANES {
                        sums[r][e] = x.mul_add(right[e], sums[r][e]);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let to = &mut to[r * stride + p * LANES..][..LANES];
                match update {
                    Update::Replace => to.copy_from_slice(sums),
                    Update::Add => to.iter_mut().zip(sums).for_each(|(t, s)| *t += s),
                }
            }
        }
    }
}

/// More sums than the compiler would keep in registers.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    #![allow(unsafe_code)]

    use std::arch::x86_64::*;

    use super::{Block, LANES, Update};

    pub(super) struct Sums;

    impl super::Sums for Sums {
        #[inline(always)]
        unsafe fn sum<const ROWS: usize, const PANELS: usize>(block: Block<'_>) {
            // SAFETY: handed on.
            unsafe { sum::<ROWS, PANELS>(block) }
        }
    }

    /// # Safety
    /// As [`super::Sums::sum`], with AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn sum<const ROWS: usize, const PANELS: usize>(block: Block<'_>) {
        let Block { k, left, right, update, to, stride } = block;
        // SAFETY: as the caller promised.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); PANELS]; ROWS];
            for l in 0..k {
                let row = right.data.as_ptr().add(l * right.stride);
                let mut columns = [_mm512_setzero_ps(); PANELS];
                for p in 0..PANELS {
                    columns[p] = _mm512_loadu_ps(row.add(p * right.panel));
                }
                for r in 0..ROWS {
                    let x = _mm512_set1_ps(*left.data.as_ptr().add(r * left.row + l * left.col));
                    for p in 0..PANELS {
                        sums[r][p] = _mm512_fmadd_ps(x, columns[p], sums[r][p]);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (p, mut sum) in sums.into_iter().enumerate() {
                    let to = to.as_mut_ptr().add(r * stride + p * LANES);
                    if update == Update::Add {
                        sum = _mm512_add_ps(_mm512_loadu_ps(to), sum);
                    }
                    _mm512_storeu_ps(to, sum);
                }
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
        for [m, n, k] in
            [[1, 1, 1], [3, 16, 5], [13, 33, 7], [6, 32, 9], [29, 15, 64], [31, 80, 70], [5, 48, 0]]
        {
            for (transposed, in_panels) in [(false, false), (true, false), (false, true)] {
                for update in [Update::Replace, Update::Add] {
                    let (row, col) = if transposed { (1, m + 2) } else { (k + 1, 1) };
                    let a = values(m * k + 3 * (m + k) + 9, 1);
                    let (right_stride, stride) = (n + 3, n + 2);
                    let b = values(k * right_stride + n, 2);
                    let mut panels = vec![0f32; n.next_multiple_of(LANES) * k];
                    super::super::panels(&b, k, right_stride, n, &mut panels);
                    let right =
                        if in_panels { Right::panels(&panels, k) } else { Right::rows(&b, right_stride) };
                    let mut c = values(m * stride, 3);
                    let before = c.clone();
                    let left = Left { data: &a, row, col };
                    product([m, n, k], Target { data: &mut c, stride }, update, left, right);
                    let mut reference = before.clone();
                    let blocks = Blocks { m, n, k, update, left, right };
                    blocks.all::<Lanes, 1, 1>(Target { data: &mut reference, stride });
                    assert_eq!(c, reference, "{m} {n} {k}: not the bits of the reference");
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
        product([2, 2, 2], target, Update::Replace, left, Right::rows(&[0.0; 3], 2));
    }
}
