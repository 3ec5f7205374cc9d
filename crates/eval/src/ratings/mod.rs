//! Ratings of models from pairwise verdicts: Elo, Bradley–Terry, win rates, and what they are
//! worth: intervals, position effect, agreement between judges.
//!
//! Nothing here needs a model: with `default-features = false` this module is all there is beside
//! [`compare`](crate::compare) and [`claims`](crate::claims).
//!
//! | question | answered by |
//! |---|---|
//! | battles from files or frames | [`read()`], [`read_all`], [`read_reviews`], [`from_frame`], [`Battles::push`] |
//! | ratings in the order played, or over random orderings | [`Elo`], [`Orderings`] |
//! | ratings by maximum likelihood | [`BradleyTerry::fit`] |
//! | the same at equal length and layout | [`BradleyTerry::fit_with_style`] |
//! | how sure they are | [`BradleyTerry::sandwich`], [`Bootstrap`], [`ranks`] |
//! | all of it as one table | [`Leaderboard`], of the battles in a [`Selection`] |
//! | who beats whom | [`WinMatrix`] |
//! | what being shown first is worth | [`PositionEffect`] |
//! | whether judges agree | [`agreement()`] |

mod agreement;
mod battles;
mod bootstrap;
mod bradley_terry;
mod counts;
mod draws;
mod elo;
mod error;
mod graph;
mod leaderboard;
mod likelihood;
mod linear;
mod newton;
mod position;
mod read;
mod scale;
mod selection;
mod style;
mod style_bootstrap;
mod win_matrix;

pub use agreement::{Agreement, GroupAgreement, agreement};
pub use battles::{Battle, Battles, NamedBattle, Names, Outcome, Style};
#[cfg(feature = "judge")]
pub(crate) use bootstrap::quantile;
pub use bootstrap::{Bootstrap, EloErrors, Replicates, Unit};
pub use bradley_terry::{Anchor, BradleyTerry, Ratings, Ties};
pub use counts::{Count, Pair, PairCounts};
pub use elo::{AveragedRatings, Elo, Orderings, SequentialRatings, TieRule};
pub use error::{RatingsError, RejectedRow};
pub use graph::Standing;
pub use leaderboard::{Leaderboard, LeaderboardOptions, LeaderboardRow, Method, StyleWorth};
pub use position::{Consistency, FirstPosition, ModelPosition, PositionEffect};
pub use read::{
    FileOrder, Format, Order, Reviews, SourceFile, Sources, from_frame, read, read_all, read_as,
    read_reviews, to_frame,
};
pub use scale::{Interval, RatingScale, ranks, share};
pub use selection::Selection;
pub use style::{FEATURE_NAMES, StyleControlled};
pub use win_matrix::WinMatrix;
