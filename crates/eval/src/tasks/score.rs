//! Scores with their standard errors.

use serde::{Deserialize, Serialize};

/// One figure of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// What it is, e.g. `accuracy`.
    pub measure: String,
    /// Its value.
    pub value: f64,
    /// Its standard error; `None` where the examples are too few to tell.
    pub standard_error: Option<f64>,
    /// Examples (or groups, where it is a mean over groups) behind it.
    pub n: usize,
}

/// One group's mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupScore {
    /// The group.
    pub group: String,
    /// Its mean.
    pub value: f64,
    /// Its examples.
    pub n: usize,
}

/// Mean over examples; standard error s/√n with the sample's s (n − 1).
/// `None` without examples.
pub fn mean(measure: &str, values: &[f64]) -> Option<Score> {
    let n = values.len();
    let mean = average(values)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let standard_error = (n > 1).then(|| (squares / (n as f64 - 1.0) / n as f64).sqrt());
    Some(Score { measure: measure.into(), value: mean, standard_error, n })
}

/// Mean of the groups' means, each group counting alike, with the groups.
///
/// The groups are fixed and their examples drawn: var = Σ s²/n_g / G². One s², pooled within
/// groups (N − G degrees of freedom), serves all, since groups of a sample are small.
pub fn group_mean(measure: &str, values: &[(&str, f64)]) -> Option<(Score, Vec<GroupScore>)> {
    let mut groups: Vec<(&str, Vec<f64>)> = Vec::new();
    for (group, value) in values {
        match groups.iter_mut().find(|(name, _)| name == group) {
            Some((_, members)) => members.push(*value),
            None => groups.push((group, vec![*value])),
        }
    }
    groups.sort_by_key(|(name, _)| name.to_owned());
    let means: Vec<f64> = groups.iter().filter_map(|(_, members)| average(members)).collect();
    let count = means.len() as f64;
    let within: f64 =
        groups.iter().zip(&means).flat_map(|((_, v), m)| v.iter().map(move |x| (x - m).powi(2))).sum();
    let freedom = values.len() - groups.len();
    let standard_error = (freedom > 0).then(|| {
        let pooled = within / freedom as f64;
        (groups.iter().map(|(_, v)| pooled / v.len() as f64).sum::<f64>()).sqrt() / count
    });
    let score = Score { measure: measure.into(), value: average(&means)?, standard_error, n: groups.len() };
    let groups = groups
        .iter()
        .zip(means)
        .map(|((name, members), value)| GroupScore { group: (*name).into(), value, n: members.len() })
        .collect();
    Some((score, groups))
}

/// Σ total / Σ weight over units that are independent of each other (documents), with the
/// standard error of a ratio: √(n/(n−1) Σ (total − ratio · weight)²) / Σ weight.
/// `None` without weight.
pub fn ratio(measure: &str, units: &[(f64, f64)]) -> Option<Score> {
    let weight: f64 = units.iter().map(|(_, w)| w).sum();
    if weight <= 0.0 {
        return None;
    }
    let value = units.iter().map(|(t, _)| t).sum::<f64>() / weight;
    let n = units.len() as f64;
    let squares: f64 = units.iter().map(|(t, w)| (t - value * w).powi(2)).sum();
    let standard_error = (units.len() > 1).then(|| (squares * n / (n - 1.0)).sqrt() / weight);
    Some(Score { measure: measure.into(), value, standard_error, n: units.len() })
}

fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }

    #[test]
    fn error_of_an_accuracy() {
        let score = mean("accuracy", &[1.0, 0.0, 1.0, 1.0]).unwrap();
        close(score.value, 0.75);
        close(score.standard_error.unwrap(), (0.75f64 * 0.25 / 3.0).sqrt());
        assert_eq!(mean("accuracy", &[1.0]).unwrap().standard_error, None);
        assert_eq!(mean("accuracy", &[]), None);
    }

    #[test]
    fn groups_count_alike_whatever_their_size() {
        let values = [("a", 1.0), ("a", 0.0), ("a", 1.0), ("a", 0.0), ("b", 1.0), ("b", 1.0)];
        let (score, groups) = group_mean("accuracy", &values).unwrap();
        close(score.value, 0.75);
        assert_eq!((score.n, groups[0].n, groups[1].value), (2, 4, 1.0));
        // Pooled variance 1 / (6 − 2); (s²/4 + s²/2) / 2².
        close(score.standard_error.unwrap(), (0.25f64 * 0.75 / 4.0).sqrt());
        assert_eq!(group_mean("accuracy", &[("a", 1.0)]).unwrap().0.standard_error, None);
    }

    #[test]
    fn one_group_has_the_error_of_a_plain_mean() {
        let values = [1.0, 0.0, 0.0, 1.0, 1.0];
        let grouped: Vec<(&str, f64)> = values.iter().map(|v| ("all", *v)).collect();
        let (a, b) = (group_mean("x", &grouped).unwrap().0, mean("x", &values).unwrap());
        close(a.standard_error.unwrap(), b.standard_error.unwrap());
    }

    #[test]
    fn a_ratio_of_equal_weights_has_the_error_of_a_mean() {
        let values = [2.0, 4.0, 9.0];
        let units: Vec<(f64, f64)> = values.iter().map(|v| (v * 10.0, 10.0)).collect();
        let (a, b) = (ratio("loss", &units).unwrap(), mean("loss", &values).unwrap());
        close(a.value, b.value);
        close(a.standard_error.unwrap(), b.standard_error.unwrap());
        assert_eq!(ratio("loss", &[(1.0, 0.0)]), None);
    }
}
