//! Kinds of battles that have a board of their own.

use crate::arena::store::Facts;

/// A kind of battles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// All that count.
    Overall,
    /// With a block of code on either side.
    Code,
    /// With a prompt of at least five hundred characters.
    LongPrompt,
    /// With more than one turn.
    MultiTurn,
    /// With prompts in this language (ISO 639-1).
    Language(String),
}

impl Category {
    /// What stands in an address: `overall`, `code`, `language-de`.
    pub fn id(&self) -> String {
        match self {
            Self::Overall => "overall".to_owned(),
            Self::Code => "code".to_owned(),
            Self::LongPrompt => "long".to_owned(),
            Self::MultiTurn => "multi-turn".to_owned(),
            Self::Language(code) => format!("language-{code}"),
        }
    }

    /// What a reader sees.
    pub fn title(&self) -> String {
        match self {
            Self::Overall => "All".to_owned(),
            Self::Code => "Code".to_owned(),
            Self::LongPrompt => "Long prompts".to_owned(),
            Self::MultiTurn => "Several turns".to_owned(),
            Self::Language(code) => format!("Language: {code}"),
        }
    }
}

/// The categories of a vote.
pub(super) fn of(facts: &Facts) -> Vec<Category> {
    let known = facts.language.as_ref().filter(|code| *code != "unknown");
    let all = [
        Some(Category::Overall),
        facts.code.then_some(Category::Code),
        facts.long.then_some(Category::LongPrompt),
        (facts.turns > 1).then_some(Category::MultiTurn),
        known.map(|code| Category::Language(code.clone())),
    ];
    all.into_iter().flatten().collect()
}
