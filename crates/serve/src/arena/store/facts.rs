//! What ratings and cleaning have to know of a vote's conversations, kept with the vote.

use camelid_ratings::{Style, TextFault, TextRules};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::arena::battle::Side;

/// A prompt of that many characters is a long one.
pub const LONG_PROMPT: usize = 500;

/// The facts of a vote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// Answered turns; 0 where that is not known.
    pub turns: u32,
    /// ISO 639-1 code of the prompts' language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How the left and the right answers look, over all turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<[Style; 2]>,
    /// The first prompt's hash, the same for prompts that differ in case and spaces only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<u64>,
    /// Whether some prompt has 500 characters or more.
    pub long: bool,
    /// Whether there is a fenced block of code on either side.
    pub code: bool,
    /// What in the texts forbids the vote to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<TextFault>,
}

impl Facts {
    /// The facts of two conversations.
    pub fn of(sides: &[Side], rules: &TextRules) -> Self {
        let prompts: Vec<&str> =
            sides.first().map_or_else(Vec::new, |side| side.turns().map(|(prompt, _)| prompt).collect());
        let answers = |side: &Side| side.turns().map(|(_, answer)| answer).collect::<Vec<_>>().join("\n\n");
        let texts: Vec<String> = sides.iter().map(answers).collect();
        let fenced = |text: &str| text.contains("```");
        Self {
            turns: prompts.len() as u32,
            language: (!prompts.is_empty()).then(|| camelid_text::language(&prompts).to_owned()),
            style: match &texts[..] {
                [left, right] => Some([Style::of_text(left), Style::of_text(right)]),
                _ => None,
            },
            prompt: prompts.first().map(|prompt| prompt_hash(prompt)),
            long: prompts.iter().any(|prompt| prompt.chars().count() >= LONG_PROMPT),
            code: prompts.iter().any(|prompt| fenced(prompt)) || texts.iter().any(|text| fenced(text)),
            fault: sides.iter().find_map(|side| rules.fault(side.turns())),
        }
    }
}

/// Of a prompt's words in lower case.
fn prompt_hash(prompt: &str) -> u64 {
    let mut sum = Sha256::new();
    for word in prompt.to_lowercase().split_whitespace() {
        sum.update(word);
        sum.update([b' ']);
    }
    // Half the range of u64, which is what JSON numbers and SQLite hold everywhere.
    sum.finalize().iter().take(8).fold(0u64, |hash, &byte| hash << 8 | u64::from(byte)) >> 12
}

#[cfg(test)]
mod tests {
    use camelid_chat::{Message, Role};

    use super::*;

    fn side(model: &str, answers: &[&str]) -> Side {
        let mut messages = Vec::new();
        for (number, answer) in answers.iter().enumerate() {
            messages.push(Message::new(Role::User, format!("What is the answer to question {number}?")));
            messages.push(Message::new(Role::Assistant, *answer));
        }
        Side { conversation: model.to_owned(), model: model.to_owned(), messages }
    }

    #[test]
    fn facts_are_those_of_both_sides() {
        let rules = TextRules::default().with_models(&["tinker"]);
        let sides = [side("a", &["# Title\n\n- one", "**two**"]), side("b", &["x", "```\ncode\n```"])];
        let facts = Facts::of(&sides, &rules);
        assert_eq!((facts.turns, facts.language.as_deref()), (2, Some("en")));
        let [left, right] = facts.style.unwrap();
        assert_eq!((left.headers, left.lists, left.bold, right.bold), (1.0, 1.0, 1.0, 0.0));
        assert!(facts.code && !facts.long && facts.fault.is_none());
        let leaked = Facts::of(&[side("a", &["Hello."]), side("b", &["I am Tinker."])], &rules);
        assert_eq!(leaked.fault, Some(TextFault::Identity("tinker".to_owned())));
        assert_eq!(leaked.prompt, facts.prompt);
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }

    #[test]
    fn prompts_that_differ_in_case_and_spaces_are_one() {
        assert_eq!(prompt_hash(" Hi  there"), prompt_hash("hi there\n"));
        assert_ne!(prompt_hash("hi there"), prompt_hash("hithere"));
    }
}
