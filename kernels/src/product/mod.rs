//! Matrix products over strided slices and stored weights.
//!
//! [`kernel`] chooses micro-kernels for the instruction set, [`pack`] turns operands
//! into the panels they read, and [`blocks`] walks the destination.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod buffer;
mod kernel;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack4;
#[cfg(target_arch = "x86_64")]
mod pack_avx2;
mod portable;

use blocks::Destination;
pub(crate) use buffer::Buffer;
pub use kernel::ComputeType;
use kernel::Kernel;
pub(crate) use pack::Rhs;

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

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread alone: for products inside a parallel loop.
    One,
    /// The current rayon pool, when the product is large enough.
    All,
}

/// `dst = scale · lhs · rhs`, or `dst += …`, in f32.
///
/// # Panics
/// If the shapes do not fit together.
pub(crate) fn multiply(
    dst: MatrixMut<'_>,
    update: Update,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    threads: Threads,
) {
    multiply_with(dst, update, scale, lhs, Rhs::Dense(rhs), threads, ComputeType::F32);
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
    threads: Threads,
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
        blocks::run(Kernel::active(compute), to, update, scale, lhs, rhs, threads);
    }
}

/// `scale · lhs · rhs` in a buffer of its own, row-major, on all threads.
///
/// # Panics
/// If the shapes do not fit together.
pub(crate) fn product(scale: f32, lhs: Matrix<'_>, rhs: Rhs<'_>, compute: ComputeType) -> Vec<f32> {
    let (m, k) = (lhs.rows, lhs.cols);
    let (rhs_rows, n) = rhs.dims();
    assert_eq!(k, rhs_rows, "product of {m}x{k} and {rhs_rows}x{n}");
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    // Zeroing what is overwritten would cost a pass over memory.
    let mut values = Vec::with_capacity(m * n);
    let to = Destination { data: values.as_mut_ptr(), stride: n };
    // SAFETY: the vector has room for the result, all of which `run` writes before it
    // reads any.
    #[allow(unsafe_code)]
    unsafe {
        blocks::run(Kernel::active(compute), to, Update::Replace, scale, lhs, rhs, Threads::All);
        values.set_len(m * n);
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
                    Threads::All,
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

    #[test]
    #[should_panic(expected = "need 12 elements, not 11")]
    fn a_slice_that_is_too_short_is_refused() {
        Matrix::new(&[0.0; 11], 3, 4);
    }
}
