//! Why a conversation, or a part of one, does not come out.

use serde::Serialize;

/// Why a whole conversation is dropped, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The row is no conversation at all, or one at which FastChat's whole run would stop.
    Unreadable,
    /// No round is left, or fewer than 16 characters.
    TooShort,
    /// A turn is by somebody else than whose turn it is.
    WrongFormat,
    /// It holds a blocked word, or an answer that is the notice of too many requests.
    BlockedWord,
    /// The page is one that the parser refuses.
    ParserError,
    /// A conversation with its id was kept before.
    IdDuplicate,
    /// Its `plugins` are not null.
    Plugin,
    /// A conversation with the same text was kept before; in exact mode, with the same first round.
    ValueDuplicate,
    /// A conversation with nearly the same text was kept before.
    NearDuplicate,
    /// Its language is not wanted.
    Language,
    /// It holds the same digit nine times running.
    RepeatedDigits,
}

impl Rule {
    /// All of them, in the order of the checks.
    pub const ALL: [Rule; 11] = [
        Rule::Unreadable,
        Rule::TooShort,
        Rule::WrongFormat,
        Rule::BlockedWord,
        Rule::ParserError,
        Rule::IdDuplicate,
        Rule::Plugin,
        Rule::ValueDuplicate,
        Rule::NearDuplicate,
        Rule::Language,
        Rule::RepeatedDigits,
    ];

    /// Its name in lineage files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TooShort => "too-short",
            Self::WrongFormat => "wrong-format",
            Self::BlockedWord => "blocked-word",
            Self::ParserError => "parser-error",
            Self::IdDuplicate => "id-duplicate",
            Self::Plugin => "plugin",
            Self::ValueDuplicate => "value-duplicate",
            Self::NearDuplicate => "near-duplicate",
            Self::Language => "language",
            Self::RepeatedDigits => "repeated-digits",
        }
    }

    /// What it says, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "the row cannot be read as a conversation",
            Self::TooShort => "no round, or fewer than 16 characters",
            Self::WrongFormat => "the speakers do not take turns",
            Self::BlockedWord => "a blocked word",
            Self::ParserError => "the parser refuses the page",
            Self::IdDuplicate => "the id of a conversation kept before",
            Self::Plugin => "made with plugins",
            Self::ValueDuplicate => "the text of a conversation kept before",
            Self::NearDuplicate => "nearly the text of a conversation kept before",
            Self::Language => "in a language that is not wanted",
            Self::RepeatedDigits => "a digit nine times running",
        }
    }
}

/// Why turns are left out of a conversation that may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutRule {
    /// The first turn is the assistant's.
    LeadingAnswer,
    /// The last turn is the user's.
    TrailingQuestion,
    /// A turn is empty; in exact mode also one whose first character is not printable. It is left
    /// out with all turns after it, and with the question before it.
    EmptyTurn,
}

impl CutRule {
    /// Its name in lineage files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeadingAnswer => "leading-answer",
            Self::TrailingQuestion => "trailing-question",
            Self::EmptyTurn => "empty-turn",
        }
    }
}

/// Turns that were left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Why.
    pub rule: CutRule,
    /// The first of them in the input, from 1.
    pub turn: usize,
    /// How many.
    pub turns: usize,
    /// How many rounds (a question with its answer) go with them.
    pub rounds: usize,
}

/// What was found in a conversation that is dropped for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The turn in the input, from 1, where it is one turn's fault.
    pub turn: Option<usize>,
    /// Begin and end of the place in that turn's text, in characters: of the page in exact mode, of
    /// the cleaned text in correct mode.
    pub span: Option<[usize; 2]>,
    /// The particulars.
    pub detail: Option<String>,
}

impl Finding {
    /// A rule that a conversation as a whole breaks.
    pub fn whole(rule: Rule) -> Self {
        Self { rule, turn: None, span: None, detail: None }
    }

    /// A rule that one turn breaks; `index` counts from 0.
    pub fn at(rule: Rule, index: usize) -> Self {
        Self { turn: Some(index + 1), ..Self::whole(rule) }
    }

    /// The same, with the particulars.
    pub fn with(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Begin and end in characters of a place that is given in bytes.
pub(super) fn span(text: &str, range: std::ops::Range<usize>) -> [usize; 2] {
    let begin = text[..range.start].chars().count();
    [begin, begin + text[range].chars().count()]
}
