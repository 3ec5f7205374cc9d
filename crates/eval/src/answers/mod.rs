//! The answer that a worked solution ends in, and whether it is the right one.
//!
//! Published scripts differ in both: where in a completion they look ([`Reading`]) and what they take for
//! equal ([`Leniency`]). Two points of GSM8K's accuracy may hang on it, so each way has a name, is switched
//! on by itself, and stands beside the score. The defaults are strict for numbers; for expressions they are
//! the normalisation that MATH's authors published, without which no figure of MATH can be compared.
//!
//! | | reading | leniencies |
//! |---|---|---|
//! | GSM8K, default | `marker` | none |
//! | MATH, default | `boxed` | `notation` |
//! | WizardMath, GSM8K (`gsm8k_inference.py`) | `phrase` | `one-separator`, `round-whole`, `close`, `percent` |
//! | WizardMath, MATH (`MATH_inference.py`, `util.is_equiv`) | `phrase` | `notation`, `unreadable`, `close`, `percent`, `brackets`, `elements`, `value` |
//! | ToRA (`grader.py`, `parser.py`) | `tora` | `decoration`, `notation`, `close`, `percent`, `brackets`, `elements`, `value` |

mod equal;
mod latex;
mod leniency;
mod notation;
mod number;
mod reading;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use leniency::Leniency;
pub use number::{FinalNumber, final_number};
pub use reading::Reading;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerKind {
    /// A number (GSM8K).
    Number,
    /// An expression in LaTeX: number, fraction, root, interval, tuple, word (MATH).
    Expression,
}

/// Whose way of reading and comparing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The defaults of this crate.
    #[default]
    Camelid,
    /// WizardMath's scripts of 2023.
    WizardMath,
    /// ToRA's grader.
    Tora,
}

/// How answers are read and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grading {
    /// What answers are.
    pub kind: AnswerKind,
    /// Where in a completion the answer stands.
    pub reading: Reading,
    /// What counts as equal beside what is the same.
    pub allow: BTreeSet<Leniency>,
    /// What stands before the answer for [`Reading::Marker`].
    pub marker: String,
}

/// The answer read from a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalAnswer {
    /// A number's normal form (see [`final_number`]), or the expression as it was written.
    pub value: String,
    /// Whether it stood where the reading looks first: behind the marker, the phrase, in a box.
    pub marked: bool,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Camelid, Self::WizardMath, Self::Tora];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Camelid => "camelid",
            Self::WizardMath => "wizardmath",
            Self::Tora => "tora",
        }
    }

    /// Its reading and leniencies for answers of a kind.
    pub fn grading(self, kind: AnswerKind) -> Grading {
        use Leniency::*;
        let (reading, allow): (Reading, &[Leniency]) = match (self, kind) {
            (Self::Camelid, AnswerKind::Number) => (Reading::Marker, &[]),
            (Self::Camelid, AnswerKind::Expression) => (Reading::Boxed, &[Notation]),
            (Self::WizardMath, AnswerKind::Number) => {
                (Reading::Phrase, &[OneSeparator, RoundWhole, Close, Percent])
            }
            (Self::WizardMath, AnswerKind::Expression) => {
                (Reading::Phrase, &[Notation, Unreadable, Close, Percent, Brackets, Elements, Value])
            }
            (Self::Tora, AnswerKind::Number) => (Reading::Tora, &[Close, Percent]),
            (Self::Tora, AnswerKind::Expression) => {
                (Reading::Tora, &[Decoration, Notation, Close, Percent, Brackets, Elements, Value])
            }
        };
        Grading { kind, reading, allow: allow.iter().copied().collect(), marker: "####".to_owned() }
    }
}

impl Grading {
    /// Whether something is allowed.
    pub fn allows(&self, leniency: Leniency) -> bool {
        self.allow.contains(&leniency)
    }

    /// The answer of a completion; `None` where there is none.
    pub fn read(&self, completion: &str) -> Option<FinalAnswer> {
        let (part, marked) = match (self.kind, self.reading) {
            (AnswerKind::Number, Reading::Marker) => {
                let found = final_number(completion, &self.marker)?;
                return Some(FinalAnswer { value: found.value, marked: found.marked });
            }
            (_, reading) => reading.part(completion, &self.marker)?,
        };
        let value = match self.kind {
            AnswerKind::Number => self.number_in(part)?,
            AnswerKind::Expression => part.trim().to_owned(),
        };
        (!value.is_empty()).then_some(FinalAnswer { value, marked })
    }

    /// An answer that is read already, as files of predictions hold them.
    pub fn take(&self, answer: &str) -> Option<FinalAnswer> {
        let value = match self.kind {
            AnswerKind::Number => self.number_in(answer)?,
            AnswerKind::Expression => answer.trim().to_owned(),
        };
        (!value.is_empty()).then_some(FinalAnswer { value, marked: true })
    }

    /// The number of what was found: a fraction or root in LaTeX is one too. Of several it is the first
    /// behind a phrase, which goes on in words, and else the last.
    fn number_in(&self, part: &str) -> Option<String> {
        if self.allows(Leniency::OneSeparator) {
            return number::with_one_separator(part);
        }
        if let Some(whole) = number::whole(part) {
            return Some(whole);
        }
        if let Some(value) = latex::constant(&notation::undecorated(part)) {
            return Some(value.to_string());
        }
        match self.reading {
            Reading::Phrase => number::first(part),
            _ => final_number(part, "").map(|found| found.value),
        }
    }
}
