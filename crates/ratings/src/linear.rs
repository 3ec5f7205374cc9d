//! Small dense symmetric systems.

/// The Cholesky factor L of a symmetric positive definite matrix, L·Lᵀ.
pub(crate) struct Cholesky {
    n: usize,
    /// Row-major `[n, n]`; what lies above the diagonal is not used.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors a row-major `[n, n]` matrix; `None` when it is not positive definite.
    pub(crate) fn factor(mut matrix: Vec<f64>, n: usize) -> Option<Self> {
        assert_eq!(matrix.len(), n * n, "a square matrix");
        for j in 0..n {
            let (above, below) = matrix.split_at_mut((j + 1) * n);
            let row = &mut above[j * n..];
            let pivot = row[j] - row[..j].iter().map(|v| v * v).sum::<f64>();
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            let pivot = pivot.sqrt();
            row[j] = pivot;
            let row = &row[..j];
            for lower in below.chunks_exact_mut(n) {
                lower[j] = (lower[j] - dot(&lower[..j], row)) / pivot;
            }
        }
        Some(Self { n, lower: matrix })
    }

    /// Solves for one right-hand side, in place.
    pub(crate) fn solve(&self, x: &mut [f64]) {
        let (n, l) = (self.n, &self.lower);
        for i in 0..n {
            x[i] = (x[i] - dot(&l[i * n..i * n + i], &x[..i])) / l[i * n + i];
        }
        for i in (0..n).rev() {
            let value = x[i] / l[i * n + i];
            x[i] = value;
            for (earlier, factor) in x[..i].iter_mut().zip(&l[i * n..i * n + i]) {
                *earlier -= factor * value;
            }
        }
    }

    /// The inverse, row-major.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let n = self.n;
        let mut inverse = vec![0.0; n * n];
        for (i, row) in inverse.chunks_exact_mut(n).enumerate() {
            row[i] = 1.0;
            self.solve(row);
        }
        inverse
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// `A·B·A` of symmetric row-major `[n, n]` matrices.
pub(crate) fn sandwich(bread: &[f64], filling: &[f64], n: usize) -> Vec<f64> {
    let half = product(bread, filling, n);
    product(&half, bread, n)
}

fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for (row, out) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (factor, line) in row.iter().zip(b.chunks_exact(n)) {
            for (o, value) in out.iter_mut().zip(line) {
                *o += factor * value;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved_and_inverted() {
        let matrix = vec![4.0, 2.0, 0.0, 2.0, 5.0, 1.0, 0.0, 1.0, 3.0];
        let factor = Cholesky::factor(matrix.clone(), 3).unwrap();
        let mut x = vec![2.0, -1.0, 4.0];
        factor.solve(&mut x);
        for (row, expected) in matrix.chunks(3).zip([2.0, -1.0, 4.0]) {
            assert!((dot(row, &x) - expected).abs() < 1e-12);
        }
        let identity = product(&factor.inverse(), &matrix, 3);
        for (i, value) in identity.iter().enumerate() {
            assert!((value - f64::from(u8::from(i % 4 == 0))).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::factor(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(Cholesky::factor(vec![f64::NAN], 1).is_none());
    }
}
