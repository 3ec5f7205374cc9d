//! The likelihood of counted battles, with ties as halves, after Rao and Kupper (1967) or after
//! Davidson (1970).

use crate::counts::{Pair, PairCounts};
use crate::graph::Comparisons;
use crate::newton::{Local, Maximum, log_sigmoid, maximise};
use crate::ties::Ties;

/// One outcome at one difference of strength: log-probability, its slope and its curvature.
#[derive(Clone, Copy)]
struct Term {
    value: f64,
    /// By the difference d, and by η.
    slope: [f64; 2],
    /// Negative second derivatives: dd, dη, ηη.
    curvature: [f64; 3],
}

/// Log-strengths θ of all models and, where ties are an outcome of their own, η = ln ν as the last unknown.
pub(crate) struct Likelihood<'a> {
    pub(crate) models: usize,
    pub(crate) pairs: &'a [Pair],
    pub(crate) weights: &'a [[f64; 3]],
    /// What a tie says; η is among the unknowns where ties have a model.
    pub(crate) ties: Ties,
    /// The prior: −ridge/2 · (Σθ² + η²).
    pub(crate) ridge: f64,
    pub(crate) comparisons: &'a Comparisons,
}

impl<'a> Likelihood<'a> {
    /// Of these weights; ties get an unknown of their own only where there are any.
    pub(crate) fn new(
        counts: &'a PairCounts,
        weights: &'a [[f64; 3]],
        ties: Ties,
        ridge: f64,
        comparisons: &'a Comparisons,
    ) -> Self {
        let tied = weights.iter().any(|[_, _, tied]| *tied > 0.0);
        Self {
            models: counts.models().len(),
            pairs: counts.pairs(),
            weights,
            ties: if tied { ties } else { Ties::Half },
            ridge,
            comparisons,
        }
    }

    /// Number of unknowns.
    pub(crate) fn unknowns(&self) -> usize {
        self.models + usize::from(self.ties.model_name().is_some())
    }

    /// The maximum, from `start` or from equal strengths.
    pub(crate) fn maximum(&self, start: Option<&[f64]>) -> Maximum {
        let mut at = match start {
            Some(start) if start.len() == self.unknowns() => start.to_vec(),
            _ => {
                let mut at = vec![0.0; self.unknowns()];
                if self.ties == Ties::RaoKupper {
                    at[self.models] = 0.5;
                }
                at
            }
        };
        self.centre(&mut at);
        let mut found = maximise(at, |x| self.local(x));
        self.centre(&mut found.at);
        found
    }

    /// Moves each connected part to a mean of zero, where the prior's maximum lies.
    fn centre(&self, x: &mut [f64]) {
        let mut sums = vec![(0.0, 0usize); self.comparisons.parts];
        for (value, &part) in x.iter().zip(&self.comparisons.part) {
            let sum = &mut sums[part as usize];
            *sum = (sum.0 + value, sum.1 + 1);
        }
        for (value, &part) in x.iter_mut().zip(&self.comparisons.part) {
            let (sum, count) = sums[part as usize];
            *value -= sum / count as f64;
        }
    }

    fn eta(&self, x: &[f64]) -> Option<f64> {
        self.ties.model_name().map(|_| x[self.models])
    }

    fn local(&self, x: &[f64]) -> Local {
        let n = self.unknowns();
        let eta = self.eta(x);
        let mut local = Local { value: 0.0, gradient: vec![0.0; n], information: vec![0.0; n * n] };
        if self.ties == Ties::RaoKupper && eta.is_some_and(|eta| eta <= 0.0) {
            local.value = f64::NEG_INFINITY;
            return local;
        }
        for (pair, weights) in self.pairs.iter().zip(self.weights) {
            let (i, j) = (pair.i as usize, pair.j as usize);
            let (mut slope, mut curvature) = ([0.0; 2], [0.0; 3]);
            for (term, weight) in self.terms(x[i] - x[j], eta).iter().zip(weights) {
                if *weight > 0.0 {
                    local.value += weight * term.value;
                    slope = [slope[0] + weight * term.slope[0], slope[1] + weight * term.slope[1]];
                    for (sum, c) in curvature.iter_mut().zip(term.curvature) {
                        *sum += weight * c;
                    }
                }
            }
            local.gradient[i] += slope[0];
            local.gradient[j] -= slope[0];
            let h = &mut local.information;
            let [dd, dn, nn] = curvature;
            h[i * n + i] += dd;
            h[j * n + j] += dd;
            h[i * n + j] -= dd;
            h[j * n + i] -= dd;
            if eta.is_some() {
                let k = self.models;
                local.gradient[k] += slope[1];
                for (row, column, value) in [(i, k, dn), (k, i, dn), (j, k, -dn), (k, j, -dn), (k, k, nn)] {
                    h[row * n + column] += value;
                }
            }
        }
        local.add_prior(self.ridge, x);
        self.hold_means(&mut local.information);
        local
    }

    /// Adds to the information a multiple of 1·1ᵀ for every connected part. All that is solved
    /// for has mean zero in each part, so no solution changes, but the system, singular up to the
    /// prior, becomes well conditioned.
    fn hold_means(&self, information: &mut [f64]) {
        let n = self.unknowns();
        let trace: f64 = (0..self.models).map(|k| information[k * n + k]).sum();
        let weight = trace / self.models as f64;
        let part = &self.comparisons.part;
        for row in 0..self.models {
            for column in 0..self.models {
                if part[row] == part[column] {
                    information[row * n + column] += weight;
                }
            }
        }
    }

    fn terms(&self, d: f64, eta: Option<f64>) -> [Term; 3] {
        match (self.ties, eta) {
            (Ties::Davidson, Some(eta)) => davidson(d, eta),
            (_, eta) => terms(d, eta),
        }
    }

    /// Σ over battles of score·scoreᵀ, row-major: the filling of the sandwich. Battles of one
    /// pair and outcome count with their mean weight.
    pub(crate) fn score_products(&self, x: &[f64]) -> Vec<f64> {
        let n = self.unknowns();
        let eta = self.eta(x);
        let mut sum = vec![0.0; n * n];
        for (pair, weights) in self.pairs.iter().zip(self.weights) {
            let (i, j) = (pair.i as usize, pair.j as usize);
            let all = self.terms(x[i] - x[j], eta);
            for ((term, weight), count) in all.iter().zip(weights).zip(pair.counts) {
                if count.battles == 0 {
                    continue;
                }
                let factor = weight * weight / count.battles as f64;
                let score = [(i, term.slope[0]), (j, -term.slope[0]), (self.models, term.slope[1])];
                let used = if eta.is_some() { 3 } else { 2 };
                for (row, left) in &score[..used] {
                    for (column, right) in &score[..used] {
                        sum[row * n + column] += factor * left * right;
                    }
                }
            }
        }
        sum
    }
}

/// The three outcomes at difference `d`; without `eta` a tie is half a win and half a loss.
fn terms(d: f64, eta: Option<f64>) -> [Term; 3] {
    let Some(eta) = eta else {
        let (log, q) = log_sigmoid(d);
        let p = 1.0 - q;
        let curvature = [p * q, 0.0, 0.0];
        let term = |value, slope| Term { value, slope: [slope, 0.0], curvature };
        return [term(log, q), term(log - d, -p), term(log - 0.5 * d, 0.5 * (q - p))];
    };
    let (u, v) = (d - eta, -d - eta);
    let ((log_u, qu), (log_v, qv)) = (log_sigmoid(u), log_sigmoid(v));
    let (pu, pv) = (1.0 - qu, 1.0 - qv);
    let (cu, cv) = (pu * qu, pv * qv);
    let grown = (2.0 * eta).exp_m1();
    [
        Term { value: log_u, slope: [qu, -qu], curvature: [cu, -cu, cu] },
        Term { value: log_v, slope: [-qv, -qv], curvature: [cv, cv, cv] },
        Term {
            value: (-(-2.0 * eta).exp_m1()).ln() + (log_u - u) + (log_v - v),
            slope: [pv - pu, pv + pu + 2.0 / grown],
            curvature: [cu + cv, cv - cu, cu + cv + 4.0 * (grown + 1.0) / (grown * grown)],
        },
    ]
}

/// The outcomes of one pair with Davidson's ties: with Z = e^(d/2) + e^(−d/2) + e^η the probabilities
/// are e^(d/2)/Z, e^(−d/2)/Z and, of a tie, e^η/Z. Every term has the curvature of ln Z.
fn davidson(d: f64, eta: f64) -> [Term; 3] {
    let half = 0.5 * d;
    let most = half.abs().max(eta);
    let log_z = most + ((half - most).exp() + (-half - most).exp() + (eta - most).exp()).ln();
    let values = [half - log_z, -half - log_z, eta - log_z];
    let [won, lost, tied] = values.map(f64::exp);
    let lean = 0.5 * (won - lost);
    let curvature = [0.25 * (won + lost) - lean * lean, -lean * tied, tied - tied * tied];
    let term =
        |value, d_slope, eta_slope| Term { value, slope: [d_slope - lean, eta_slope - tied], curvature };
    [term(values[0], 0.5, 0.0), term(values[1], -0.5, 0.0), term(values[2], 0.0, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_rao_and_kupper_sum_to_one() {
        for (d, eta) in [(0.3, 0.2), (-4.0, 1.5), (0.0, 1e-3)] {
            let total: f64 = terms(d, Some(eta)).iter().map(|term| term.value.exp()).sum();
            assert!((total - 1.0).abs() < 1e-12, "{d} {eta}: {total}");
        }
    }

    #[test]
    fn davidsons_outcomes_sum_to_one_and_their_slopes_are_those_of_the_values() {
        let h = 1e-4;
        for (d, eta) in [(0.3, -0.6), (-4.0, 1.5), (90.0, -3.0)] {
            let all = davidson(d, eta);
            let total: f64 = all.iter().map(|term| term.value.exp()).sum();
            assert!((total - 1.0).abs() < 1e-12, "{d} {eta}: {total}");
            for (k, term) in all.iter().enumerate() {
                let at = |dd: f64, de: f64| davidson(d + dd, eta + de)[k];
                let close = |found: f64, numeric: f64| {
                    assert!((found - numeric).abs() < 1e-6, "{d} {eta} {k}: {found} {numeric}")
                };
                close(term.slope[0], (at(h, 0.0).value - at(-h, 0.0).value) / (2.0 * h));
                close(term.slope[1], (at(0.0, h).value - at(0.0, -h).value) / (2.0 * h));
                close(term.curvature[0], -(at(h, 0.0).slope[0] - at(-h, 0.0).slope[0]) / (2.0 * h));
                close(term.curvature[1], -(at(0.0, h).slope[0] - at(0.0, -h).slope[0]) / (2.0 * h));
                close(term.curvature[2], -(at(0.0, h).slope[1] - at(0.0, -h).slope[1]) / (2.0 * h));
            }
        }
    }

    #[test]
    fn slopes_and_curvatures_are_those_of_the_values() {
        let h = 1e-4;
        for eta in [None, Some(0.7)] {
            for k in 0..3 {
                let at = |d: f64, e: f64| terms(0.4 + d, eta.map(|eta| eta + e))[k];
                let term = at(0.0, 0.0);
                let close = |found: f64, numeric: f64| {
                    assert!((found - numeric).abs() < 1e-6, "{eta:?} {k}: {found} {numeric}")
                };
                close(term.slope[0], (at(h, 0.0).value - at(-h, 0.0).value) / (2.0 * h));
                close(term.curvature[0], -(at(h, 0.0).slope[0] - at(-h, 0.0).slope[0]) / (2.0 * h));
                if eta.is_some() {
                    close(term.slope[1], (at(0.0, h).value - at(0.0, -h).value) / (2.0 * h));
                    close(term.curvature[1], -(at(0.0, h).slope[0] - at(0.0, -h).slope[0]) / (2.0 * h));
                    close(term.curvature[2], -(at(0.0, h).slope[1] - at(0.0, -h).slope[1]) / (2.0 * h));
                }
            }
        }
    }
}
