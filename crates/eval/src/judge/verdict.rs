//! Verdicts in a judge's reply, read as FastChat reads them.
//!
//! FastChat (`fastchat/llm_judge/common.py`) takes the first grade in double brackets, `[[7]]` or
//! `[[7.5]]`, else the first in single ones, `[7]`; of two grades alike (`[[7,8]]`, `[7, 8]`), which
//! are a tie within 0.1. Among letters it looks for `[[A]]` anywhere, then `[[B]]`, then `[[C]]`, and
//! for nothing looser. It accepts any number as a grade; here one outside 1 to 10 is no verdict.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use camelid_ratings::Outcome;

/// Grades that lie this near each other are a tie.
pub const TIE_DELTA: f64 = 0.1;

/// The range of grades.
const GRADES: std::ops::RangeInclusive<f64> = 1.0..=10.0;

static ONE: LazyLock<[Regex; 2]> =
    LazyLock::new(|| [r"\[\[([0-9]+\.?[0-9]*)\]\]", r"\[([0-9]+\.?[0-9]*)\]"].map(pattern));
static TWO: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [r"\[\[([0-9]+\.?[0-9]*),\s?([0-9]+\.?[0-9]*)\]\]", r"\[([0-9]+\.?[0-9]*),\s?([0-9]+\.?[0-9]*)\]"]
        .map(pattern)
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are constant")
}

/// How a prompt asks for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutputFormat {
    /// One grade: `[[7]]`.
    #[serde(rename = "[[rating]]")]
    Rating,
    /// The better answer, or C for a tie: `[[A]]`.
    #[serde(rename = "[[A]]")]
    Winner,
    /// A grade for each of two answers: `[[7,8]]`.
    #[serde(rename = "[[rating_a,rating_b]]")]
    TwoRatings,
}

/// What a judge decided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// One answer's grade, 1 to 10.
    Rating(f64),
    /// Which of two answers is better; `model_a` was shown first.
    Winner(Outcome),
    /// Grades of the answer shown first and of the one shown second.
    Ratings(f64, f64),
}

impl Verdict {
    /// Who won, where two answers were judged.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Rating(_) => None,
            Self::Winner(outcome) => Some(outcome),
            Self::Ratings(first, second) if (first - second).abs() <= TIE_DELTA => Some(Outcome::Tie),
            Self::Ratings(first, second) if first > second => Some(Outcome::ModelA),
            Self::Ratings(..) => Some(Outcome::ModelB),
        }
    }
}

/// Reads a reply's verdict; the error says what is missing or wrong.
///
/// # Errors
/// A sentence about a reply without a verdict, or with a grade outside 1 to 10.
pub fn read(reply: &str, format: OutputFormat) -> Result<Verdict, String> {
    match format {
        OutputFormat::Rating => {
            let found = ONE.iter().find_map(|pattern| pattern.captures(reply));
            let found = found.ok_or("no verdict: expected a grade such as [[7]]")?;
            Ok(Verdict::Rating(grade(&found[1])?))
        }
        OutputFormat::TwoRatings => {
            let found = TWO.iter().find_map(|pattern| pattern.captures(reply));
            let found = found.ok_or("no verdict: expected two grades such as [[7,8]]")?;
            Ok(Verdict::Ratings(grade(&found[1])?, grade(&found[2])?))
        }
        OutputFormat::Winner => {
            [("[[A]]", Outcome::ModelA), ("[[B]]", Outcome::ModelB), ("[[C]]", Outcome::Tie)]
                .into_iter()
                .find(|(label, _)| reply.contains(label))
                .map(|(_, outcome)| Verdict::Winner(outcome))
                .ok_or_else(|| "no verdict: expected [[A]], [[B]] or [[C]]".to_owned())
        }
    }
}

/// Whether a reply names more than one of the letters: FastChat then takes the earlier letter of the
/// alphabet, wherever it stands.
pub fn contradicts_itself(reply: &str) -> bool {
    ["[[A]]", "[[B]]", "[[C]]"].into_iter().filter(|label| reply.contains(label)).count() > 1
}

fn grade(digits: &str) -> Result<f64, String> {
    match digits.trim_end_matches('.').parse::<f64>() {
        Ok(grade) if GRADES.contains(&grade) => Ok(grade),
        _ => Err(format!("no verdict: the grade is {digits}, expected one from 1 to 10")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_are_read_as_fastchat_reads_them() {
        for (reply, expected) in [
            ("It is fine.\nRating: [[7]]", Some(7.0)),
            ("Rating: [[7.5]]", Some(7.5)),
            ("[[10.]]", Some(10.0)),
            ("Rating: [8]", Some(8.0)),
            ("On a scale [1] I say [[4]], not [[9]]", Some(4.0)),
            ("see [2] and [3]", Some(2.0)),
            ("Rating: [[rating]]", None),
            ("Rating: 7", None),
            ("Rating: [[7/10]]", None),
            ("Rating: [[ 7 ]]", None),
            ("[[0]]", None),
            ("[[11]]", None),
            ("", None),
        ] {
            let read = read(reply, OutputFormat::Rating);
            assert_eq!(read.clone().ok(), expected.map(Verdict::Rating), "{reply}: {read:?}");
        }
        assert!(read("[[12]]", OutputFormat::Rating).unwrap_err().contains("12, expected one from 1 to 10"));
    }

    #[test]
    fn winners_are_read_as_fastchat_reads_them() {
        for (reply, expected) in [
            ("B is wrong. [[A]]", Some(Outcome::ModelA)),
            ("[[B]]", Some(Outcome::ModelB)),
            ("Neither. [[C]]", Some(Outcome::Tie)),
            // The earlier letter wins, wherever it stands.
            ("[[B]] unless one wants [[A]]", Some(Outcome::ModelA)),
            ("[A]", None),
            ("Assistant A", None),
            ("[[D]]", None),
        ] {
            let read = read(reply, OutputFormat::Winner);
            assert_eq!(read.clone().ok(), expected.map(Verdict::Winner), "{reply}: {read:?}");
        }
        assert!(contradicts_itself("[[B]] unless one wants [[A]]") && !contradicts_itself("[[A]] [[A]]"));
    }

    #[test]
    fn two_grades_decide_unless_they_are_near() {
        for (reply, expected) in [
            ("[[7,8]]", Some(Outcome::ModelB)),
            ("[[8.5, 8]]", Some(Outcome::ModelA)),
            ("[9, 9]", Some(Outcome::Tie)),
            ("[[8.05,8]]", Some(Outcome::Tie)),
            ("[[8,  8]]", None),
            ("[[8,11]]", None),
            ("8 9", None),
        ] {
            let verdict = read(reply, OutputFormat::TwoRatings);
            assert_eq!(verdict.clone().ok().and_then(Verdict::outcome), expected, "{reply}: {verdict:?}");
        }
        assert_eq!(Verdict::Rating(3.0).outcome(), None);
    }
}
