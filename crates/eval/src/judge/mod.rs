//! Models as judges of models' answers (Zheng et al. 2023; Vicuna's first evaluation).
//!
//! A [`QuestionSet`] is put to models ([`Answers::ask`]), a [`Judge`] with its [`PromptSet`] grades
//! the [`Answers`] or compares them in both orders, and a [`Scoreboard`] says what came of it. All
//! requests go through [`Ask`]: [`Live`], where every reply is stored and no request is paid twice
//! ([`camelid_chat::requests`]), or as a [`DryRun`] that tells what a run will cost. A [`Setup`] is all
//! that a user names, with defaults; it opens as a [`Session`], which does the rest.

mod answers;
mod ask;
mod error;
mod judging;
mod judgment;
#[cfg(feature = "models")]
mod local;
mod model;
mod pairs;
mod prompts;
mod protocol;
mod questions;
mod records;
mod resample;
mod scoreboard;
mod scores;
mod session;
mod verdict;

pub use answers::{Answer, Answers, Sampled};
pub use ask::{Ask, DryRun, Live, NoReply, Stage};
pub use error::JudgeError;
pub use judging::{Exhibits, Judge, Match, Mode, Opponents};
pub use judgment::{JudgedBy, Judgment, battles, judgments_frame, read_single_judgments};
pub use model::{EndpointSettings, Model, ModelPlace, ModelSpec};
pub use pairs::{PairScore, pair_scores};
pub use prompts::{Case, JudgePrompt, PromptKind, PromptSet, Template};
pub use protocol::{Judging, Protocol};
pub use questions::{Question, QuestionSet};
pub use resample::{Estimated, Resampling};
pub use scoreboard::{JudgmentError, Scoreboard};
pub use scores::{ModelScore, ScoreRatio, score_ratios, scores};
pub use session::{Forecast, Judged, Session, Setup, Tally};
pub use verdict::{OutputFormat, TIE_DELTA, Verdict, contradicts_itself, read as read_verdict};
