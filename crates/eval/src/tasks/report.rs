//! A task's scores with everything that determined them.

use serde::{Deserialize, Serialize};

use super::definition::Task;
use super::facts::ModelFacts;
use super::record::Record;
use super::score::{GroupScore, Score, group_mean, mean, ratio};

/// The result of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskReport {
    /// The task's name.
    pub task: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its definition.
    pub definition_sha256: String,
    /// The model.
    pub model: ModelFacts,
    /// Solved examples before each question.
    pub shots: usize,
    /// Examples asked.
    pub examples: usize,
    /// Examples the task has.
    pub of: usize,
    /// Seed by which they were chosen, where not all were asked.
    pub seed: Option<u64>,
    /// Other settings, e.g. longest answer, window and stride.
    pub settings: Vec<String>,
    /// Examples whose prompt lost its beginning to the model's context.
    pub cut_prompts: usize,
    /// The scores, the headline first.
    pub scores: Vec<Score>,
    /// The headline by group, where there are groups.
    pub groups: Vec<GroupScore>,
    /// Seconds this run took; examples finished by an earlier run took none.
    pub seconds: f64,
    /// Version of Camelid.
    pub camelid: String,
}

/// The scores of a task from its records, the headline first.
pub(super) fn scores(task: &Task, records: &[Record]) -> (Vec<Score>, Vec<GroupScore>) {
    let definition = &task.definition;
    let values = |name: &str| -> Vec<f64> { records.iter().filter_map(|r| r.measure(name)).collect() };
    let mut scores = Vec::new();
    let mut groups = Vec::new();
    if definition.perplexity.is_some() {
        return (perplexity(records), groups);
    }
    // pass@k is named by k; whatever is there is reported in that order.
    let names: Vec<String> = if definition.program.is_some() {
        let mut ks: Vec<u64> = records
            .iter()
            .flat_map(|r| r.measures.keys())
            .filter_map(|name| name.strip_prefix("pass@")?.parse().ok())
            .collect();
        ks.sort_unstable();
        ks.dedup();
        ks.into_iter().map(|k| format!("pass@{k}")).collect()
    } else {
        ["accuracy", "accuracy_norm", "marked", "gold_log_likelihood"].map(String::from).into()
    };
    for (i, name) in names.iter().enumerate() {
        let Some(score) = mean(name, &values(name)) else { continue };
        scores.push(score);
        if i == 0 && definition.data.group.is_some() {
            let grouped: Vec<(&str, f64)> =
                records.iter().filter_map(|r| Some((r.group.as_str(), r.measure(name)?))).collect();
            if let Some((score, by_group)) = group_mean(&format!("{name} (mean of groups)"), &grouped) {
                scores.push(score);
                groups = by_group;
            }
        }
    }
    (scores, groups)
}

/// Loss, perplexity and bits per byte. The independent units are documents, or windows where
/// there is only one document.
fn perplexity(records: &[Record]) -> Vec<Score> {
    let per_token: Vec<(f64, f64)> = match records {
        [only] => only.log_likelihoods.iter().zip(&only.tokens).map(|(l, n)| (-l, f64::from(*n))).collect(),
        _ => records
            .iter()
            .map(|r| (-r.log_likelihoods.iter().sum::<f64>(), r.tokens.iter().copied().map(f64::from).sum()))
            .collect(),
    };
    let per_byte: Vec<(f64, f64)> = records
        .iter()
        .map(|r| {
            let bits = -r.log_likelihoods.iter().sum::<f64>() / std::f64::consts::LN_2;
            (bits, r.measure("bytes").unwrap_or(0.0))
        })
        .collect();
    let Some(loss) = ratio("loss", &per_token) else { return Vec::new() };
    // d exp(x) = exp(x) dx.
    let value = loss.value.exp();
    let standard_error = loss.standard_error.map(|error| error * value);
    let perplexity = Score { measure: "perplexity".into(), value, standard_error, n: loss.n };
    [Some(perplexity), Some(loss), ratio("bits_per_byte", &per_byte)].into_iter().flatten().collect()
}
