//! One conversation through the checks of `clean_sharegpt.py`, in its order.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::{MarkdownError, html_to_markdown};
use crate::clean::judged::{Cleaned, Judged};
use crate::clean::pattern::pattern;
use crate::clean::rule::{Cut, CutRule, Finding, Rule, span};
use crate::fields::{Problem, Short};

type Turn<'a> = Cow<'a, Map<String, Value>>;

const SPEAKERS: [&str; 2] = ["human", "gpt"];

/// What stands in an answer's place when its user had asked too often; dropped since June 2024.
const TOO_MANY: &str = "Too many requests in 1 hour. Try again later.";

/// Turns through FastChat's checks. One loop does them all, so that an empty turn hides whatever is
/// wrong after it.
///
/// # Errors
/// [`Problem`] where Python would raise and FastChat's run would end: a turn without speaker or text,
/// a number that is none, elements nested too deeply.
pub fn judge(turns: &[Turn]) -> Result<Judged, Problem> {
    let rounds_in = rounds(turns);
    let dropped = |finding, cuts| Ok(Judged { outcome: Err(finding), cuts, rounds_in, rounds_out: 0 });
    let mut cuts = Vec::new();
    let (mut first, mut end) = (0, turns.len());
    if end <= 1 {
        return dropped(Finding::whole(Rule::TooShort), cuts);
    }
    if speaker(turns, 0)? != SPEAKERS[0] {
        first = 1;
        cuts.push(Cut { rule: CutRule::LeadingAnswer, turn: 1, turns: 1, rounds: 0 });
    }
    if end - first <= 1 {
        return dropped(Finding::whole(Rule::TooShort), cuts);
    }
    if speaker(turns, end - 1)? == SPEAKERS[0] {
        cuts.push(Cut { rule: CutRule::TrailingQuestion, turn: end, turns: 1, rounds: 0 });
        end -= 1;
    }
    if end - first <= 1 {
        return dropped(Finding::whole(Rule::TooShort), cuts);
    }
    let mut cleaned: Vec<Cleaned> = Vec::with_capacity(end - first);
    let mut characters = 0;
    for (index, expected) in (first..end).zip(SPEAKERS.into_iter().cycle()) {
        let found = speaker(turns, index)?;
        if found != expected {
            let detail = format!("{expected:?} is expected, it is {}", Short(found));
            return dropped(Finding::at(Rule::WrongFormat, index).with(detail), cuts);
        }
        let page = match turns[index].get("value") {
            Some(Value::String(page)) => page,
            other => return Err(in_turn(index, Problem::field("value", other, "a text"))),
        };
        if let Some(word) = BLOCKED.find(page) {
            let mut finding = Finding::at(Rule::BlockedWord, index).with(word.as_str().to_lowercase());
            finding.span = Some(span(page, word.range()));
            return dropped(finding, cuts);
        }
        let text = match html_to_markdown(page) {
            Ok(text) => text,
            Err(error @ MarkdownError::Rejected(_)) => {
                return dropped(Finding::at(Rule::ParserError, index).with(error.to_string()), cuts);
            }
            Err(error) => {
                let reason = "FastChat's run would stop here";
                return Err(Problem::with(reason, format!("turn {}: {error}", index + 1)));
            }
        };
        if expected == SPEAKERS[1] && text.strip_prefix('!').unwrap_or(&text).starts_with(TOO_MANY) {
            let finding = Finding::at(Rule::BlockedWord, index).with("the notice of too many requests");
            return dropped(finding, cuts);
        }
        if text.is_empty() || UNPRINTABLE.is_match(&text) {
            let kept = cleaned.len() / 2 * 2;
            let turn = first + kept + 1;
            let cut =
                Cut { rule: CutRule::EmptyTurn, turn, turns: end + 1 - turn, rounds: rounds_in - kept / 2 };
            cuts.push(cut);
            break;
        }
        characters += text.chars().count();
        cleaned.push(Cleaned { speaker: expected.into(), text });
    }
    cleaned.truncate(cleaned.len() / 2 * 2);
    if characters < 16 || cleaned.is_empty() {
        return dropped(Finding::whole(Rule::TooShort), cuts);
    }
    let rounds_out = cleaned.len() / 2;
    Ok(Judged { outcome: Ok(cleaned), cuts, rounds_in, rounds_out })
}

/// Questions that an answer follows.
fn rounds(turns: &[Turn]) -> usize {
    let is = |turn: &Turn, name: &str| turn.get("from").and_then(Value::as_str) == Some(name);
    turns.windows(2).filter(|pair| is(&pair[0], SPEAKERS[0]) && is(&pair[1], SPEAKERS[1])).count()
}

fn speaker<'t>(turns: &'t [Turn], index: usize) -> Result<&'t Value, Problem> {
    turns[index].get("from").ok_or_else(|| in_turn(index, Problem::field("from", None, "there")))
}

fn in_turn(index: usize, problem: Problem) -> Problem {
    let detail = problem.detail.unwrap_or_default();
    Problem::with(problem.reason, format!("turn {}: {detail}", index + 1))
}

/// "openai" or "chatgpt" in the text as `str.lower` leaves it: `İ` becomes an `i` with a dot above.
static BLOCKED: LazyLock<Regex> = LazyLock::new(|| pattern("(?i)opena[i\u{130}]|chatgpt"));

/// A first character for which `str.isprintable` is false in CPython 3.11, which knows Unicode 14.
static UNPRINTABLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:[\p{C}\p{Z}--[ ]]|\P{age:14.0})"));

/// The same digit nine times running, as `(\d)\1{8}` finds it: the span in characters.
pub fn repeated_digits(text: &str) -> Option<[usize; 2]> {
    let mut run = ('\0', 0);
    for (index, c) in text.chars().enumerate() {
        run = if c == run.0 { (c, run.1 + 1) } else { (c, 1) };
        if run.1 == 9 && super::python::is_digit(c) {
            return Some([index - 8, index + 1]);
        }
    }
    None
}
