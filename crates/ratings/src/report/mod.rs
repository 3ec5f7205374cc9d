//! Whole reports of ratings and of agreement, and the plots they are made of.

mod agreement;
mod plots;
mod position;
mod ratings;
#[cfg(feature = "parquet")]
mod tables;

pub use agreement::{AgreementReport, AgreementRow, GroupMembers, JudgeGroup};
pub use plots::{RatingRow, pair_votes, position, rating_intervals, win_matrix};
pub use position::{add_position, position_context};
pub use ratings::RatingsReport;
