//! The pages of judged runs and of benchmark tasks.

#[cfg(feature = "judge")]
mod judge_page;
#[cfg(feature = "models")]
mod longeval;
#[cfg(feature = "models")]
mod tasks;

#[cfg(feature = "judge")]
pub use judge_page::{JudgeReport, JudgeSample, judge_samples};
#[cfg(feature = "models")]
pub use tasks::TasksReport;
