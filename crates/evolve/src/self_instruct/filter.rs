//! Which tasks Stanford Alpaca's `generate_instruction.py` leaves out, before it compares them.

use crate::rules::{Ended, Rule};
use crate::self_instruct::SelfInstructSettings;

/// The first rule of Alpaca's that an instruction breaks.
pub(super) fn of_instruction(instruction: &str, settings: &SelfInstructSettings) -> Option<Ended> {
    let count = instruction.split_whitespace().count();
    if !(settings.fewest_words..=settings.most_words).contains(&count) {
        return Some(Ended::by(Rule::WordCount, format!("{count} words")));
    }
    if let Some(word) = settings.barred.iter().find(|word| has_word(instruction, word)) {
        return Some(Ended::by(Rule::Barred, word.as_str()));
    }
    let start = settings.barred_starts.iter().find(|start| instruction.starts_with(start.as_str()));
    if let Some(start) = start {
        return Some(Ended::by(Rule::OddStart, start.as_str()));
    }
    let first = instruction.chars().next()?;
    let odd = first.is_ascii_punctuation() || !first.is_ascii();
    odd.then(|| Ended::by(Rule::OddStart, first.to_string()))
}

/// Whether `word` stands in the text, whatever its case, with no letter, digit or `_` beside it.
fn has_word(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let alone = |at: usize| {
        let (before, behind) = (&text[..at], &text[at + word.len()..]);
        !of_word(before.chars().next_back()) && !of_word(behind.chars().next())
    };
    text.match_indices(&word).any(|(at, _)| alone(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_breaks_the_rules_of_alpaca() {
        let settings = SelfInstructSettings::default();
        let rule = |instruction: &str| of_instruction(instruction, &settings).map(|ended| ended.rule);
        for (instruction, wanted) in [
            ("Name a river of Europe.", None),
            ("Name three rivers.", Some(Rule::WordCount)),
            ("", Some(Rule::WordCount)),
            ("Describe the MAP of a town.", Some(Rule::Barred)),
            ("Describe how to go to Rome.", Some(Rule::Barred)),
            ("Explain what a mapping is.", None),
            ("Explain the file_name of this.", None),
            ("Write a program that sorts numbers.", Some(Rule::OddStart)),
            ("write a program that sorts numbers.", None),
            ("- Name a river of Europe.", Some(Rule::OddStart)),
            ("Ärger: write a poem on it.", Some(Rule::OddStart)),
        ] {
            assert_eq!(rule(instruction), wanted, "{instruction}");
        }
        assert_eq!(rule(&"word ".repeat(150)), None);
        assert_eq!(rule(&"word ".repeat(151)), Some(Rule::WordCount));
    }
}
