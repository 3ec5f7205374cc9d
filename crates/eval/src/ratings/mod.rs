//! Battles: pairwise verdicts on models, from files and frames.

mod battles;
mod error;
mod read;

pub use battles::{Battle, Battles, NamedBattle, Names, Outcome, Style};
pub use error::{RatingsError, RejectedRow};
pub use read::{FileOrder, Format, Order, Reviews, from_frame, read, read_as, read_reviews, to_frame};
