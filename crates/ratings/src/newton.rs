//! The maximum of a concave function by damped Newton steps.

use crate::linear::Cholesky;

/// A function's value, slope and curvature at one point.
pub(crate) struct Local {
    /// Its value; not finite outside the function's domain.
    pub(crate) value: f64,
    /// Its gradient, `[n]`.
    pub(crate) gradient: Vec<f64>,
    /// Its negative Hessian, row-major `[n, n]`, positive definite.
    pub(crate) information: Vec<f64>,
}

impl Local {
    /// Adds the normal prior −ridge/2 · Σx².
    pub(crate) fn add_prior(&mut self, ridge: f64, x: &[f64]) {
        let n = x.len();
        for (k, &value) in x.iter().enumerate() {
            self.value -= 0.5 * ridge * value * value;
            self.gradient[k] -= ridge * value;
            self.information[k * n + k] += ridge;
        }
    }
}

/// Where the steps ended.
pub(crate) struct Maximum {
    pub(crate) at: Vec<f64>,
    pub(crate) local: Local,
    pub(crate) steps: usize,
    /// The last step was shorter than the tolerance.
    pub(crate) converged: bool,
}

/// A step shorter than this in every coordinate ends the search.
const TOLERANCE: f64 = 1e-10;
/// Far more steps than a separated comparison with the weakest prior needs.
const MOST_STEPS: usize = 200;
/// Halvings of one step before it is given up.
const MOST_HALVINGS: usize = 40;

/// Climbs from `start`; every step is halved until the value does not fall.
pub(crate) fn maximise(start: Vec<f64>, evaluate: impl Fn(&[f64]) -> Local) -> Maximum {
    let n = start.len();
    let mut at = start;
    let mut local = evaluate(&at);
    let mut step = vec![0.0; n];
    for steps in 1..=MOST_STEPS {
        step.copy_from_slice(&local.gradient);
        let Some(factor) = Cholesky::factor(local.information.clone(), n) else {
            return Maximum { at, local, steps, converged: false };
        };
        factor.solve(&mut step);
        let longest = step.iter().fold(0.0, |longest: f64, s| longest.max(s.abs()));
        if longest.is_nan() {
            return Maximum { at, local, steps, converged: false };
        }
        // Rounding of the value must not stop the last, tiny steps.
        let floor = local.value - 1e-13 * local.value.abs();
        let mut length = 1.0;
        let mut moved = None;
        for _ in 0..MOST_HALVINGS {
            let next: Vec<f64> = at.iter().zip(&step).map(|(x, s)| x + length * s).collect();
            let there = evaluate(&next);
            if there.value >= floor {
                moved = Some((next, there));
                break;
            }
            length *= 0.5;
        }
        let Some((next, there)) = moved else {
            return Maximum { at, local, steps, converged: longest < 1e-6 };
        };
        (at, local) = (next, there);
        if longest < TOLERANCE {
            return Maximum { at, local, steps, converged: true };
        }
    }
    Maximum { at, local, steps: MOST_STEPS, converged: false }
}

/// log σ(u) and σ(−u), without overflow.
pub(crate) fn log_sigmoid(u: f64) -> (f64, f64) {
    let e = (-u.abs()).exp();
    let log = u.min(0.0) - e.ln_1p();
    let other = if u >= 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    (log, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_of_a_steep_concave_function_is_found() {
        // x − eˣ has its maximum at 0; from −8 the pure Newton step overshoots far.
        let found = maximise(vec![-8.0], |x| Local {
            value: x[0] - x[0].exp(),
            gradient: vec![1.0 - x[0].exp()],
            information: vec![x[0].exp()],
        });
        assert!(found.converged && found.at[0].abs() < 1e-9, "{}", found.at[0]);
    }

    #[test]
    fn the_log_sigmoid_does_not_overflow() {
        assert_eq!(log_sigmoid(0.0), (-(2f64.ln()), 0.5));
        let (log, other) = log_sigmoid(-800.0);
        assert_eq!((log, other), (-800.0, 1.0));
        let (log, other) = log_sigmoid(800.0);
        assert_eq!((log, other), (0.0, 0.0));
    }
}
