//! Matrix products over strided slices, through the `gemm` crate.

use gemm::Parallelism;

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

/// Below this many multiply-adds a product stays on one thread.
const PARALLEL_FROM: usize = 192 * 192 * 192;

/// `dst = scale · lhs · rhs`, or `dst += …`.
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
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert!(
        dst.rows == m && dst.cols == n && rhs.rows == k,
        "product of {m}x{k} and {}x{n} into {}x{}",
        rhs.rows,
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
    let parallel = threads == Threads::All && m * n * k >= PARALLEL_FROM && rayon::current_num_threads() > 1;
    let parallelism = if parallel { Parallelism::Rayon(0) } else { Parallelism::None };
    let (keep, read) = if update == Update::Add { (1.0, true) } else { (0.0, false) };
    // SAFETY: the constructors of the views checked that the last element of each
    // matrix lies inside its slice; `dst` is exclusively borrowed, so it overlaps
    // neither operand; the strides of slices fit `isize`.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.data.as_mut_ptr(),
            1,
            dst.row_stride as isize,
            read,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
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
