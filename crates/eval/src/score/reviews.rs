//! Vicuna's first reviews: two grades a question, as totals and their ratio.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::samples::{each, names, number};
use super::{Remarks, ScoreError, ScoreReport};

/// The reviews of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewFile {
    /// The file.
    pub file: String,
    /// The model graded first, by the file's name where that tells (`review_FIRST_SECOND.jsonl`).
    pub first: String,
    /// The model graded second.
    pub second: String,
    /// Reviews that count.
    pub reviews: usize,
    /// Sum of the first model's grades.
    pub total_first: f64,
    /// Sum of the second model's grades.
    pub total_second: f64,
    /// The second model's total over the first's.
    pub ratio: f64,
    /// Questions on which the first has the higher grade.
    pub wins_first: usize,
    /// Questions with equal grades.
    pub ties: usize,
    /// Questions on which the second has the higher grade.
    pub wins_second: usize,
    /// Share of questions on which the second is at least the first's equal.
    pub second_at_least_equal: f64,
}

/// The reviews of all files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewScores {
    /// One row a file.
    pub files: Vec<ReviewFile>,
    /// What is to be said of some rows.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// Sums the pairs of grades in `score`. A negative grade is FastChat's word for a review that could not
/// be read: that row is left out.
///
/// # Errors
/// [`ScoreError`]: a file that cannot be read or of which no row can be used.
pub fn reviews(files: &[PathBuf]) -> Result<ReviewScores, ScoreError> {
    let mut all = ReviewScores { files: Vec::new(), remarks: Remarks::default() };
    for path in files {
        let mut pairs: Vec<(f64, f64)> = Vec::new();
        let remarks = each(std::slice::from_ref(path), |_, fields| {
            let score =
                fields.get("score").ok_or_else(|| format!("no `score`; there are: {}", names(&fields)))?;
            pairs.push(pair(score).ok_or_else(|| format!("`score` is {score}; expected two grades from 0"))?);
            Ok(())
        })?;
        remarks.check(pairs.len())?;
        all.files.push(summed(path, &pairs));
        all.remarks.add(remarks);
    }
    if all.files.is_empty() { Err(ScoreError::Empty) } else { Ok(all) }
}

/// Two grades: a list, or text such as `8 9` or `[8, 9]`.
fn pair(score: &Value) -> Option<(f64, f64)> {
    let grades: Vec<f64> = match score {
        Value::Array(grades) => grades.iter().map(number).collect::<Option<_>>()?,
        Value::String(text) => {
            let plain = text.trim_matches(['[', ']', '(', ')']);
            plain
                .split([',', ' '])
                .filter(|t| !t.is_empty())
                .map(|t| t.parse().ok())
                .collect::<Option<_>>()?
        }
        _ => return None,
    };
    match grades[..] {
        [first, second] if first >= 0.0 && second >= 0.0 && (first + second).is_finite() => {
            Some((first, second))
        }
        _ => None,
    }
}

fn summed(path: &Path, pairs: &[(f64, f64)]) -> ReviewFile {
    let stem = camelid_files::stem(path);
    let parts: Vec<&str> = stem.split('_').collect();
    let (first, second) = match parts[..] {
        ["review", first, second] => (first, second),
        _ => ("first", "second"),
    };
    let total_first: f64 = pairs.iter().map(|pair| pair.0).sum();
    let total_second: f64 = pairs.iter().map(|pair| pair.1).sum();
    let count = |wanted: fn(f64, f64) -> bool| pairs.iter().filter(|(a, b)| wanted(*a, *b)).count();
    let (wins_first, ties, wins_second) = (count(|a, b| a > b), count(|a, b| a == b), count(|a, b| a < b));
    ReviewFile {
        file: path.display().to_string(),
        first: first.to_owned(),
        second: second.to_owned(),
        reviews: pairs.len(),
        total_first,
        total_second,
        ratio: total_second / total_first,
        wins_first,
        ties,
        wins_second,
        second_at_least_equal: (ties + wins_second) as f64 / pairs.len() as f64,
    }
}

impl ScoreReport for ReviewScores {
    fn text(&self) -> String {
        let row = |file: &ReviewFile| {
            vec![
                file.first.clone(),
                file.second.clone(),
                format!("{} / {}", file.total_first, file.total_second),
                format!("{:.2} %", 100.0 * file.ratio),
                format!("{} / {} / {}", file.wins_first, file.ties, file.wins_second),
                format!("{:.1} %", 100.0 * file.second_at_least_equal),
                file.reviews.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = self.files.iter().map(row).collect();
        let header =
            ["first", "second", "totals", "second / first", "wins / ties / losses", "second ≥ first", "n"];
        camelid_report::text_table(&header, &rows, &[0, 1]) + &self.remarks.to_string()
    }
}
