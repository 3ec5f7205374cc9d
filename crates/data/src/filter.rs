//! Conversations whose lists are numbered wrongly are left out, after FastChat's
//! `data/filter_wrong_format.py`.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fields::{Fields, Problem};
use crate::pass::{Done, PassOptions, pass};
use crate::{DataError, LoadReport, turns};

/// What makes a filter leave a conversation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterRule {
    /// FastChat's: two lines begin with `1. ` and no digit 2 stands between them. A year between them hides
    /// the fault, the first line of a text is not looked at, and lines of code are.
    WrongLists,
    /// What was meant: a list begins with 1 and goes on with 1. Looked at are the items of lists outside
    /// of code, from the first line on, by how far they are indented; a heading begins another list.
    RestartingLists,
}

impl FilterRule {
    fn finds(self, text: &str) -> bool {
        static WRONG: LazyLock<Regex> =
            LazyLock::new(|| Regex::new("\n1\\. [^2]*\n1\\. ").expect("a pattern that is tested"));
        match self {
            Self::WrongLists => WRONG.is_match(text),
            Self::RestartingLists => restarts(text),
        }
    }
}

/// Reason under which a filter counts the conversations it leaves out.
pub const WRONG_FORMAT: &str = "a list is numbered wrongly";

/// Writes the conversations of `input` in which no turn breaks `rule` to `out`, each as it stands.
///
/// # Errors
/// Files that cannot be read or written; a bad row, where they are fatal; [`DataError::Stopped`].
pub fn filter(
    input: &Path,
    out: &Path,
    rule: FilterRule,
    options: PassOptions<'_>,
) -> Result<LoadReport, DataError> {
    pass(
        input,
        out,
        options,
        |_, row| {
            let wrong = values(&row)?.iter().position(|text| rule.finds(text)).map(|at| at + 1);
            let dropped = wrong.map(|turn| Problem::with(WRONG_FORMAT, format!("turn {turn}")));
            let rows = if wrong.is_none() { vec![row] } else { Vec::new() };
            Ok(Done { rows, dropped, account: wrong })
        },
        |_, wrong, _| match wrong {
            None => json!({"kept": true}),
            Some(turn) => json!({"kept": false, "reason": WRONG_FORMAT, "turn": turn}),
        },
    )
}

/// The texts of a conversation's turns.
fn values(row: &Fields) -> Result<Vec<&str>, Problem> {
    let (_, turns) = turns::list(row)?;
    (1..).zip(turns).map(|(number, turn)| Ok(turns::text_of(turn, number, &turns::TEXTS)?.1)).collect()
}

/// Whether an item 1 follows an item 1 of the same list.
fn restarts(text: &str) -> bool {
    // The lists that are open, outermost first: how far they are indented, and their last number.
    let mut open: Vec<(usize, u32)> = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| bare.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(opened), Some(mark)) if opened == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        if bare.starts_with('#') {
            open.clear();
        }
        let Some(number) = item_number(bare) else { continue };
        let indent = line.len() - bare.len();
        open.retain(|(of, _)| *of <= indent);
        match open.last_mut().filter(|(of, _)| *of == indent) {
            Some((_, last)) if *last == 1 && number == 1 => return true,
            Some((_, last)) => *last = number,
            None => open.push((indent, number)),
        }
    }
    false
}

/// The number of a list's item: digits, a point, a blank.
fn item_number(line: &str) -> Option<u32> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    line[digits..].starts_with(". ").then(|| line[..digits].parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_differ_where_fastchats_is_faulty() {
        let cases = [
            ("a\n1. x\n1. y", true, true),
            ("a\n1. x\n\ntext\n\n1. y", true, true),
            ("a\n1. x\n2. y\n1. z", false, false),
            ("a\n1. x\n2. y", false, false),
            // A digit hides it, or the first line.
            ("a\n1. in 2023\n1. y", false, true),
            ("1. x\n1. y", false, true),
            // Code, another list, a list inside of an item.
            ("a\n```\n1. x\n1. y\n```", true, false),
            ("# A\n1. x\n# B\n1. y", true, false),
            ("a\n1. x\n   1. y\n   2. z\n2. w\n   1. v", false, false),
            ("a\n1. x\n   1. y\n   1. z", false, true),
            ("a\n1.x\n1.y", false, false),
            ("", false, false),
        ];
        for (text, theirs, meant) in cases {
            assert_eq!(FilterRule::WrongLists.finds(text), theirs, "{text:?}");
            assert_eq!(FilterRule::RestartingLists.finds(text), meant, "{text:?}");
        }
    }
}
