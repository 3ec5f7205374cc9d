//! Kinds of battles that have a board of their own.

use std::collections::BTreeMap;

use super::Rest;

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

/// The places of the votes of each category.
pub(super) fn of<'a>(kept: &[usize], facts: impl Fn(usize) -> &'a Rest) -> BTreeMap<Category, Vec<usize>> {
    let mut places: BTreeMap<Category, Vec<usize>> = BTreeMap::new();
    let mut add = |category, place| places.entry(category).or_default().push(place);
    for &place in kept {
        let Rest { turns, language, long, code, .. } = facts(place);
        if *code {
            add(Category::Code, place);
        }
        if *long {
            add(Category::LongPrompt, place);
        }
        if *turns > 1 {
            add(Category::MultiTurn, place);
        }
        if let Some(language) = language.as_ref().filter(|code| *code != "unknown") {
            add(Category::Language(language.clone()), place);
        }
    }
    places
}
