//! Verdicts in a judge's reply: the last one counts.
//!
//! A judge that thinks aloud mentions grades that it then takes back, so what stands between
//! `<think>` and `</think>` (or the like) is left out, and of several verdicts the last is taken, as
//! the prompts ask for it at the end. A grade in double brackets, `[[7]]` or `[[7.5]]`, goes before
//! one in single ones, `[7]`; two grades (`[[7,8]]`, `[7, 8]`) are a tie within 0.1; the better of
//! two answers is `[[A]]`, `[[B]]` or `[[C]]` for a tie, and nothing looser. FastChat
//! (`fastchat/llm_judge/common.py`) has the same patterns and takes the first match, and among
//! letters A before B before C wherever they stand; it also accepts any number as a grade, where one
//! outside 1 to 10 is no verdict here.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use camelid_chat::StopReason;
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

/// Why a reply is none, and should be asked for again: it was cut off before its verdict, or says
/// nothing outside its thoughts. `most` is the number of tokens that it could have.
///
/// Of a reply that was cut off the last verdict counts only where nothing but blanks and punctuation
/// follows: the judge may have been about to take it back.
pub fn unfinished(reply: &str, reason: StopReason, format: OutputFormat, most: usize) -> Option<String> {
    let said = without_thoughts(reply);
    if reason == StopReason::Length {
        let rest = said.as_deref().and_then(|said| Some(&said[last(said, format)?..]));
        let done = rest.is_some_and(|rest| !rest.contains(|c: char| c.is_alphanumeric() || c == '['));
        return (!done).then(|| format!("the reply was cut off at {most} tokens before its verdict"));
    }
    match said {
        None => Some("no verdict: the reply ends within its thoughts".to_owned()),
        Some(said) if said.trim().is_empty() && !reply.trim().is_empty() => {
            Some("an empty reply: nothing but thoughts".to_owned())
        }
        Some(said) if said.trim().is_empty() => Some("an empty reply".to_owned()),
        Some(_) => None,
    }
}

/// Where the last verdict of what was said ends.
fn last(said: &str, format: OutputFormat) -> Option<usize> {
    let by = |patterns: &[Regex]| {
        let found = patterns.iter().find_map(|pattern| pattern.find_iter(said).last());
        found.map(|found| found.end())
    };
    match format {
        OutputFormat::Rating => by(&*ONE),
        OutputFormat::TwoRatings => by(&*TWO),
        OutputFormat::Winner => {
            LETTERS.iter().filter_map(|(label, _)| Some(said.rfind(label)? + label.len())).max()
        }
    }
}

/// Reads a reply's verdict; the error says what is missing or wrong.
///
/// # Errors
/// A sentence about a reply without a verdict, or with a grade outside 1 to 10.
pub fn read(reply: &str, format: OutputFormat) -> Result<Verdict, String> {
    let Some(said) = without_thoughts(reply) else {
        return Err("no verdict: the reply ends within its thoughts".to_owned());
    };
    let last = |patterns: &[Regex]| patterns.iter().find_map(|pattern| pattern.captures_iter(&said).last());
    match format {
        OutputFormat::Rating => {
            let found = last(&*ONE).ok_or("no verdict: expected a grade such as [[7]]")?;
            Ok(Verdict::Rating(grade(&found[1])?))
        }
        OutputFormat::TwoRatings => {
            let found = last(&*TWO).ok_or("no verdict: expected two grades such as [[7,8]]")?;
            Ok(Verdict::Ratings(grade(&found[1])?, grade(&found[2])?))
        }
        OutputFormat::Winner => LETTERS
            .into_iter()
            .filter_map(|(label, outcome)| Some((said.rfind(label)?, outcome)))
            .max_by_key(|(place, _)| *place)
            .map(|(_, outcome)| Verdict::Winner(outcome))
            .ok_or_else(|| "no verdict: expected [[A]], [[B]] or [[C]]".to_owned()),
    }
}

/// Whether a reply names more than one of the letters outside its thoughts; the last counts.
pub fn contradicts_itself(reply: &str) -> bool {
    let said = without_thoughts(reply).unwrap_or_default();
    LETTERS.into_iter().filter(|(label, _)| said.contains(label)).count() > 1
}

const LETTERS: [(&str, Outcome); 3] =
    [("[[A]]", Outcome::ModelA), ("[[B]]", Outcome::ModelB), ("[[C]]", Outcome::Tie)];

/// The tags between which models think; one in quotes is only spoken of.
static THOUGHTS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)(["'`]?)<(/?)(think|thinking|thought|reasoning|reflection)>"#));

/// The reply without its thoughts; `None` where it ends within them. The tag that opens them is often
/// part of the prompt: all that precedes one that only closes is thought.
fn without_thoughts(reply: &str) -> Option<String> {
    let (mut said, mut from) = (String::new(), 0);
    let mut thinking: Option<String> = None;
    for tag in THOUGHTS.captures_iter(reply) {
        let (name, closes) = (tag[3].to_ascii_lowercase(), !tag[2].is_empty());
        let Some(whole) = tag.get(0).filter(|_| tag[1].is_empty()) else { continue };
        match &thinking {
            None if closes => {
                said.clear();
                from = whole.end();
            }
            None => {
                said.push_str(&reply[from..whole.start()]);
                thinking = Some(name);
            }
            Some(opened) if closes && *opened == name => {
                thinking = None;
                from = whole.end();
            }
            Some(_) => {}
        }
    }
    if thinking.is_some() {
        return None;
    }
    said.push_str(&reply[from..]);
    Some(said)
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
    fn the_last_grade_counts_and_double_brackets_go_first() {
        for (reply, expected) in [
            ("It is fine.\nRating: [[7]]", Some(7.0)),
            ("Rating: [[7.5]]", Some(7.5)),
            ("[[10.]]", Some(10.0)),
            ("Rating: [8]", Some(8.0)),
            ("On a scale [1] I said [[9]], no: [[4]]", Some(4.0)),
            ("[[4]], as footnote [2] says", Some(4.0)),
            ("see [2] and [3]", Some(3.0)),
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
    fn the_last_winner_counts() {
        for (reply, expected) in [
            ("B is wrong. [[A]]", Some(Outcome::ModelA)),
            ("[[B]]", Some(Outcome::ModelB)),
            ("Neither. [[C]]", Some(Outcome::Tie)),
            ("[[B]] unless one wants [[A]]", Some(Outcome::ModelA)),
            ("At first [[A]] or [[C]], but then: [[B]]", Some(Outcome::ModelB)),
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
    fn what_is_thought_aloud_is_no_verdict() {
        let rating = |reply: &str| read(reply, OutputFormat::Rating).map(|v| format!("{v:?}"));
        for reply in [
            "<think>One could say [[2]], but no.</think>\nRating: [[9]]",
            "One could say [[2]].</think>[9]",
            "<THINKING>[[1]]</THINKING> Grade: [9]",
            "<think>[[1]]</think> so far [[3]] <think>[[4]]</think> [[9]]",
            "<reasoning>[[1]]</reasoning>[[9]]",
            "[[9]], for B shows its `<think>` and so [[9]]",
            "Grade: [[9]]\n<think>was that right? [[1]]</think>",
        ] {
            assert_eq!(rating(reply).as_deref(), Ok("Rating(9.0)"), "{reply}");
        }
        assert!(rating("<think>[[2]] or [[3]]").unwrap_err().contains("within its thoughts"));
        assert!(rating("<think>[[2]]</think>").unwrap_err().contains("expected a grade"));
        let pair = "<think>At first [[A]], but no.</think>\nThe second is better. [[B]]";
        assert_eq!(read(pair, OutputFormat::Winner), Ok(Verdict::Winner(Outcome::ModelB)));
        assert!(!contradicts_itself(pair));
        let two = "<think>[[1,9]]</think>[[8,7]] no, [[7,8]]";
        assert_eq!(read(two, OutputFormat::TwoRatings), Ok(Verdict::Ratings(7.0, 8.0)));
    }

    #[test]
    fn a_verdict_that_may_be_taken_back_or_is_not_there_is_asked_for_again() {
        let rating = OutputFormat::Rating;
        let cut = |text| unfinished(text, StopReason::Length, rating, 64);
        let said = Some("the reply was cut off at 64 tokens before its verdict".to_owned());
        for text in
            ["One could say [[2]], but", "[[2]] [[", "It is", "<think>[[2]]", "<think>[[2]]</think>So"]
        {
            assert_eq!(cut(text), said, "{text}");
        }
        for text in ["Rating: [[2]]", "Rating: **[[2]]**.\n\n", "<think>[[3]]</think> [[2]]"] {
            assert_eq!(cut(text), None, "{text}");
        }
        assert_eq!(unfinished("so [[A]] or", StopReason::Length, OutputFormat::Winner, 64), said);
        assert_eq!(unfinished("[[7, 8]].", StopReason::Length, OutputFormat::TwoRatings, 64), None);
        let ended = |text| unfinished(text, StopReason::TurnEnd, rating, 64);
        assert_eq!(ended(" \n").as_deref(), Some("an empty reply"));
        assert_eq!(ended("<think>[[2]]</think>\n").as_deref(), Some("an empty reply: nothing but thoughts"));
        assert!(ended("<think>[[2]]").unwrap().contains("within its thoughts"));
        assert_eq!((ended("I would rather not say."), ended("[[2]], but")), (None, None));
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
