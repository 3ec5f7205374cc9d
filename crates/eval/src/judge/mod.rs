//! Models as judges of models' answers (Zheng et al. 2023; Vicuna's first evaluation).
//!
//! A [`QuestionSet`] is put to models ([`answer_all`]), a [`Judge`] with its [`PromptSet`] grades
//! the [`Answers`] or compares them in both orders, and a [`Scoreboard`] says what came of it. All
//! requests go through [`Ask`]: in earnest, where every reply is stored and no request is paid twice
//! ([`camelid_chat::requests`]), or as a [`Rehearsal`] that tells what a run will cost.

mod answering;
mod answers;
mod ask;
mod error;
mod judging;
mod judgment;
mod lines;
#[cfg(feature = "models")]
mod local;
mod pairs;
mod prompts;
mod protocol;
mod questions;
mod ratio;
mod resample;
mod respondent;
mod scoreboard;
mod scores;
mod session;
mod setup;
mod template;
mod verdict;

pub use answering::{Contestant, answer_all};
pub use answers::{Answer, Answers, Sampled};
pub use ask::{Ask, InEarnest, NoReply, Rehearsal, Stage};
pub use error::JudgeError;
pub use judging::{Exhibits, Judge, Mode, Opponents, Task};
pub use judgment::{JudgedBy, Judgment, battles, judgments_frame, read_single_judgments};
#[cfg(feature = "models")]
pub use local::LocalModel;
pub use pairs::{PairScore, pair_scores};
pub use prompts::{Case, JudgePrompt, PromptKind, PromptSet};
pub use protocol::{Judging, Protocol};
pub use questions::{Question, QuestionSet};
pub use ratio::{ScoreRatio, score_ratios};
pub use resample::{Estimated, Resampling};
pub use respondent::{ModelPlace, ModelSpec, Respondent};
pub use scoreboard::{JudgmentError, Scoreboard};
pub use scores::{ModelScore, scores};
pub use session::{Forecast, Judged, Session, Tally};
pub use setup::{EndpointSettings, Setup};
pub use template::Template;
pub use verdict::{OutputFormat, TIE_DELTA, Verdict, contradicts_itself, read as read_verdict};
