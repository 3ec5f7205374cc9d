//! Matrix products over strided slices and stored weights.
//!
//! [`kernel`] chooses micro-kernels for the instruction set, [`pack`] turns operands
//! into the panels they read, and [`blocks`] walks the destination; [`weight`] multiplies
//! with a stored weight as a layer does.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod buffer;
mod dots;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod few_rows;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod pack4;
#[cfg(target_arch = "x86_64")]
mod pack_avx2;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
#[cfg(target_arch = "aarch64")]
mod pack_neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod prefetch;
mod tile;
mod weight;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod word;

use blocks::Destination;
pub(crate) use buffer::Buffer;
pub use kernel::ComputeType;
use kernel::Kernel;
pub(crate) use pack::Rhs;
#[cfg(target_arch = "x86_64")]
use pack_avx2 as pack_vectors;
#[cfg(target_arch = "aarch64")]
use pack_neon as pack_vectors;

use crate::values::Values;

/// A matrix view: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_bounds(data.len(), rows, cols, row_stride);
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The same elements, transposed.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// `rows` rows from `first_row` and `cols` columns from `first_col`.
    fn block(self, first_row: usize, rows: usize, first_col: usize, cols: usize) -> Self {
        assert!(first_row + rows <= self.rows && first_col + cols <= self.cols);
        let start = if rows == 0 || cols == 0 {
            self.data.len()
        } else {
            first_row * self.row_stride + first_col * self.col_stride
        };
        Self { data: &self.data[start..], rows, cols, ..self }
    }
}

/// A matrix to write: rows `row_stride` elements apart.
pub(crate) struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows one after the other.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_bounds(data.len(), rows, cols, row_stride);
        Self { data, rows, cols, row_stride }
    }
}

/// What happens to the old contents of the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    /// They are overwritten.
    Replace,
    /// The product is added to them.
    Add,
}

/// `dst = scale · lhs · rhs`, or `dst += …`, in f32.
///
/// # Panics
/// If the shapes do not fit together.
#[cfg(test)]
pub(crate) fn multiply(dst: MatrixMut<'_>, update: Update, scale: f32, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    multiply_with(dst, update, scale, lhs, Rhs::Dense(rhs), ComputeType::F32);
}

/// As [`multiply`], with any right operand and compute type.
///
/// # Panics
/// If the shapes do not fit together.
pub(crate) fn multiply_with(
    dst: MatrixMut<'_>,
    update: Update,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Rhs<'_>,
    compute: ComputeType,
) {
    let (m, k) = (lhs.rows, lhs.cols);
    let (rhs_rows, n) = rhs.dims();
    assert!(
        dst.rows == m && dst.cols == n && rhs_rows == k,
        "product of {m}x{k} and {rhs_rows}x{n} into {}x{}",
        dst.rows,
        dst.cols
    );
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if update == Update::Replace {
            dst.data.chunks_mut(dst.row_stride).for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    let to = Destination { data: dst.data.as_mut_ptr(), stride: dst.row_stride };
    // SAFETY: the constructor of `dst` checked that its rows lie inside the slice,
    // which is borrowed exclusively and initialised.
    #[allow(unsafe_code)]
    unsafe {
        blocks::run(Kernel::active(compute), to, update, scale, lhs, rhs);
    }
}

/// `scale · lhs · rhs` in a buffer of its own, row-major, on all threads.
///
/// # Panics
/// If the shapes do not fit together.
pub(crate) fn product(scale: f32, lhs: Matrix<'_>, rhs: Rhs<'_>, compute: ComputeType) -> Values {
    let (m, k) = (lhs.rows, lhs.cols);
    let (rhs_rows, n) = rhs.dims();
    assert_eq!(k, rhs_rows, "product of {m}x{k} and {rhs_rows}x{n}");
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n].into();
    }
    let mut values = Values::unset(m * n);
    let to = Destination { data: values.as_mut_ptr(), stride: n };
    // SAFETY: the buffer is as long as the result and exclusively borrowed.
    #[allow(unsafe_code)]
    unsafe {
        blocks::run(Kernel::active(compute), to, Update::Replace, scale, lhs, rhs);
    }
    values
}

fn check_bounds(len: usize, rows: usize, cols: usize, row_stride: usize) {
    let needed = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + cols };
    assert!(cols <= row_stride || rows <= 1, "rows of {cols} overlap at a stride of {row_stride}");
    assert!(needed <= len, "{rows} rows of {cols}, {row_stride} apart, need {needed} elements, not {len}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn products_of_odd_shapes_and_strides() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (3, 1, 9), (17, 33, 65), (200, 199, 201), (5, 4, 0)] {
            let (stride_a, stride_c) = (k + 3, n + 2);
            let a = values(m * stride_a, 1);
            let b = values(n * k, 2); // stored transposed
            for update in [Update::Replace, Update::Add] {
                let mut c = values(m * stride_c, 3);
                let before = c.clone();
                multiply(
                    MatrixMut::strided(&mut c, m, n, stride_c),
                    update,
                    0.5,
                    Matrix::strided(&a, m, k, stride_a),
                    Matrix::new(&b, n, k).t(),
                );
                for i in 0..m {
                    for j in 0..stride_c {
                        let old = f64::from(before[i * stride_c + j]);
                        let sum: f64 = (0..k)
                            .map(|l| f64::from(a[i * stride_a + l]) * f64::from(b[(j % n) * k + l]))
                            .sum();
                        let want = match update {
                            _ if j >= n => old, // the gap between rows stays as it was
                            Update::Replace => 0.5 * sum,
                            Update::Add => old + 0.5 * sum,
                        };
                        assert!((f64::from(c[i * stride_c + j]) - want).abs() < 1e-4 * (k as f64 + 1.0));
                    }
                }
            }
        }
    }

    /// Shapes on both sides of every size that a path or a block begins at.
    #[test]
    fn every_path_of_both_compute_types() {
        let shapes = [(4, 70, 33), (49, 65, 40), (50, 70, 530), (13, 300, 9), (205, 97, 66), (60, 20, 300)];
        for (m, n, k) in shapes {
            let (a, b) = (values(m * k, 1), values(n * k, 2));
            for (lhs_t, rhs_t) in [(false, false), (false, true), (true, false), (true, true)] {
                let lhs = if lhs_t { Matrix::new(&a, k, m).t() } else { Matrix::new(&a, m, k) };
                let rhs = if rhs_t { Matrix::new(&b, n, k).t() } else { Matrix::new(&b, k, n) };
                for compute in [ComputeType::F32, ComputeType::Bf16] {
                    let round = |v: f32| match compute {
                        ComputeType::F32 | ComputeType::BatchInvariant => f64::from(v),
                        ComputeType::Bf16 => half::bf16::from_f32(v).to_f64(),
                    };
                    let at = |matrix: Matrix<'_>, i: usize, j: usize| {
                        round(matrix.data[i * matrix.row_stride + j * matrix.col_stride])
                    };
                    let got = product(0.5, lhs, Rhs::Dense(rhs), compute);
                    for (at_c, got) in got.iter().enumerate() {
                        let (i, j) = (at_c / n, at_c % n);
                        let want = 0.5 * (0..k).map(|l| at(lhs, i, l) * at(rhs, l, j)).sum::<f64>();
                        let bound = 1e-5 * (k as f64).sqrt().max(1.0);
                        assert!(
                            (f64::from(*got) - want).abs() < bound,
                            "{compute:?} {m}x{k}x{n}, transposed {lhs_t} {rhs_t}, at {i}, {j}: {got}, not {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn neither_threads_nor_neighbours_change_a_bit() {
        let (m, n, k) = (130, 150, 600);
        let (a, b) = (values(m * k, 1), values(n * k, 2));
        let run = |rows: usize, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            let b = Rhs::Dense(Matrix::new(&b, n, k).t());
            pool.install(|| product(1.0, Matrix::new(&a, rows, k), b, ComputeType::F32).to_vec())
        };
        let one = run(m, 1);
        assert_eq!(one, run(m, 2));
        assert_eq!(one, run(m, 5));
        assert_eq!(one[..50 * n], run(50, 3));
    }

    #[test]
    fn not_a_number_and_infinity_come_through() {
        for compute in [ComputeType::F32, ComputeType::Bf16] {
            let mut a = vec![1f32; 60 * 40];
            a[7 * 40 + 3] = f32::from_bits(0x7fff_ffff);
            a[9 * 40 + 3] = f32::INFINITY;
            let b = vec![1f32; 40 * 70];
            let c = product(1.0, Matrix::new(&a, 60, 40), Rhs::Dense(Matrix::new(&b, 40, 70)), compute);
            for (i, row) in c.chunks(70).enumerate() {
                assert!(row.iter().all(|v| match i {
                    7 => v.is_nan(),
                    9 => *v == f32::INFINITY,
                    _ => *v == 40.0,
                }));
            }
        }
    }

    #[test]
    #[should_panic(expected = "need 12 elements, not 11")]
    fn a_slice_that_is_too_short_is_refused() {
        Matrix::new(&[0.0; 11], 3, 4);
    }
}
