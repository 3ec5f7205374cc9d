//! Models as judges of models' answers (Zheng et al. 2023; Vicuna's first evaluation).
//!
//! A [`QuestionSet`] is put to models ([`Answers::ask`]), a [`Judge`] with its [`PromptSet`] grades
//! the [`Answers`] or compares them in both orders, and a [`Scoreboard`] says what came of it. All
//! requests go through [`Ask`]: [`Live`], where every reply is stored and no request is paid twice
//! ([`camelid_chat::requests`]), or as a [`DryRun`] that tells what a run will cost. A [`Setup`] is all
//! that a user names, with defaults; it opens as a [`Session`], which does the rest.
//!
//! ```rust
//! use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
//! use camelid_chat::requests::{RequestStore, RunSettings};
//! use camelid_eval::judge::{
//!     Judge, Mode, Opponents, PromptSet, Protocol, Question, QuestionSet, Resampling, Model,
//!     Scoreboard, Session,
//! };
//! use std::sync::{Arc, atomic::AtomicBool};
//! use std::{error::Error, ops::ControlFlow};
//!
//! /// One reply to everything. Real ones are `Model::endpoint` and `Model::local`.
//! struct Parrot(&'static str);
//!
//! impl TextGenerator for Parrot {
//!     fn generate(
//!         &self,
//!         _: &[Message],
//!         _: &GenerateOptions,
//!         _: &mut dyn FnMut(&str) -> ControlFlow<()>,
//!     ) -> Result<GeneratedText, Box<dyn Error + Send + Sync>> {
//!         let (text, reason) = (self.0.to_owned(), StopReason::TurnEnd);
//!         Ok(GeneratedText { text, prompt_tokens: None, new_tokens: None, reason, model_version: None, own_temperature: false })
//!     }
//! }
//!
//! let named = |name: &str, reply: &'static str| Model {
//!     name: name.into(),
//!     request_name: name.into(),
//!     generator: Arc::new(Parrot(reply)),
//!     settings: RunSettings::default(),
//!     about: name.into(),
//!     notes: Vec::new(),
//! };
//! let question = Question {
//!     id: "1".into(),
//!     category: "writing".into(),
//!     turns: vec!["Name a camelid.".into(), "And another?".into()],
//!     reference: Vec::new(),
//!     temperature: None,
//! };
//! let session = Session {
//!     questions: QuestionSet { name: "mine".into(), questions: vec![question] },
//!     references: None,
//!     seed: 0,
//!     models: vec![named("poet", "The llama.")],
//!     given: Vec::new(),
//!     judge: Judge {
//!         model: named("critic", "Short and true. Grade: [[8]]"),
//!         prompts: PromptSet::own()?, // or PromptSet::read("judge_prompts.jsonl".as_ref())?
//!         protocol: Protocol::mt_bench()?,
//!         without_references: false,
//!     },
//!     mode: Mode::Single,
//!     opponents: Opponents::All,
//!     spending_limit: None,
//! };
//!
//! let folder = tempfile::tempdir()?;
//! let store = RequestStore::open(&folder.path().join("replies.jsonl"))?;
//! println!("{}", session.forecast(&store)?.lines().join("\n"));
//! let judged = session.run(&store, &AtomicBool::new(false), &mut |_, _| {})?;
//! let board =
//!     Scoreboard::new(&session.questions, session.mode, &judged.judgments, None, Resampling::default());
//! assert_eq!(board.scores[0].overall.unwrap().value, 8.0);
//! println!("{}", board.markdown());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Verdicts on pairs become battles ([`battles`]), so that ratings, position effect and agreement
//! apply to them. Intervals are over questions drawn anew, with all verdicts on a question together.

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
pub use judgment::{JudgedBy, Judgment, battles, judgments_frame};
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
