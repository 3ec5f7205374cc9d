#![doc = include_str!("../README.md")]

mod agreement;
mod battles;
mod bootstrap;
mod bradley_terry;
mod cleaning;
mod counts;
mod draws;
mod elo;
mod error;
mod graph;
mod leaderboard;
mod likelihood;
mod linear;
mod newton;
mod paired;
mod pairing;
mod position;
mod read;
#[cfg(feature = "report")]
pub mod report;
mod scale;
mod selection;
pub mod simulation;
mod style;
mod style_bootstrap;
mod ties;
mod unseen;
mod win_matrix;

pub use agreement::{Agreement, GroupAgreement, agreement};
pub use battles::{Battle, Battles, NamedBattle, Names, Outcome, Style, Unread};
pub use bootstrap::{Bootstrap, EloErrors, Replicates, Unit, quantile};
pub use bradley_terry::{Anchor, BradleyTerry, Ratings};
pub use cleaning::{
    AnomalyTest, CastVote, Cleaner, Cleaning, DropReason, TextFault, TextRules, WordSplitter,
};
pub use counts::{Count, Pair, PairCounts, VoteTally};
pub use elo::{AveragedRatings, Elo, Orderings, SequentialRatings, TieRule};
pub use error::{RatingsError, RejectedRow};
pub use graph::Standing;
pub use leaderboard::{Leaderboard, LeaderboardOptions, LeaderboardRow, Method, StyleWorth};
pub use paired::{EqualRanks, sign_test, spearman};
pub use pairing::{Contestant, PairRule, draw_pair, pair_weights};
pub use position::{Consistency, FirstPosition, ModelPosition, PositionEffect};
pub use read::{
    FileOrder, Format, MOST_DROPPED, Needs, Order, ReadOptions, Reviews, SourceFile, Sources, read, read_all,
    read_as, read_reviews,
};
#[cfg(feature = "parquet")]
pub use read::{from_frame, to_frame};
pub use scale::{Interval, RatingScale, Z95, ranks, share};
pub use selection::Selection;
pub use style::{FEATURE_NAMES, StyleControlled};
pub use ties::Ties;
pub use win_matrix::WinMatrix;
