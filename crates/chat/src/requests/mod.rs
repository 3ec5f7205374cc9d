//! Asking models many questions and never paying for one twice.
//!
//! A [`ChatRequest`] holds everything that determines its reply; the SHA-256 of its canonical
//! JSON is its [`key`](ChatRequest::key). A [`RequestStore`] keeps each [`Reply`] under its key
//! from the moment it arrives, and a [`Runner`] asks only for what the store lacks: several
//! requests at a time, at most so many a minute, within a spending limit. It gives up on a server
//! that fails request after request.
//!
//! A request that came to nothing is an error in its place, with the text that came instead of a
//! reply; the others go on and the next run asks it again. The spending limit goes by the token counts
//! that the server reports; where it reports none, or may charge for a reply that broke off or made no
//! sense, by the most that the request may have cost.
//!
//! ```rust
//! use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, StopReason, TextGenerator};
//! use camelid_chat::requests::{ChatRequest, Prices, RequestStore, RunSettings, Runner};
//! use std::{error::Error, ops::ControlFlow};
//!
//! /// Any model will do; over HTTP it is a `camelid_chat::openai::OpenAiClient`.
//! struct Lenient;
//!
//! impl TextGenerator for Lenient {
//!     fn generate(
//!         &self,
//!         messages: &[Message],
//!         _: &GenerateOptions,
//!         _: &mut dyn FnMut(&str) -> ControlFlow<()>,
//!     ) -> Result<GeneratedText, Box<dyn Error + Send + Sync>> {
//!         let (prompt_tokens, new_tokens) = (Some(messages[0].content.len() / 4), Some(3));
//!         let (text, reason) = ("Rating: [[9]]".to_owned(), StopReason::TurnEnd);
//!         Ok(GeneratedText { text, prompt_tokens, new_tokens, reason, model_version: None, own_temperature: false })
//!     }
//! }
//!
//! let requests: Vec<ChatRequest> = ["Paris is in France.", "Paris is in Peru."]
//!     .map(|answer| ChatRequest {
//!         model: "lenient".into(),
//!         messages: vec![Message::new(Role::User, format!("Rate this answer from 1 to 10: {answer}"))],
//!         options: GenerateOptions { max_new_tokens: 20, ..Default::default() },
//!     })
//!     .into();
//!
//! let folder = tempfile::tempdir()?;
//! let store = RequestStore::open(&folder.path().join("replies.jsonl"))?;
//! // Prices are per million tokens; no request begins that might pass the limit.
//! let settings = RunSettings {
//!     prices: Some(Prices { prompt: 30.0, new: 60.0 }),
//!     spending_limit: Some(0.05),
//!     ..Default::default()
//! };
//! let runner = Runner::new(&Lenient, &store, settings)?;
//! let before = runner.estimate(&requests);
//! assert_eq!((before.new, before.stored), (2, 0));
//! assert!(before.cost_at_most.unwrap() < 0.01);
//!
//! let replies = runner.run(&requests, &mut |progress| println!("{progress:?}"))?;
//! assert_eq!(replies[1].as_ref().unwrap().text, "Rating: [[9]]");
//! assert_eq!(runner.estimate(&requests).new, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod context;
mod error;
mod estimate;
mod ledger;
mod request;
mod runner;
mod settings;
mod store;

pub use context::Progress;
pub use error::{Filtered, NotAsked, Refused, RequestError, RunError, StoreError};
pub use estimate::{Estimate, Prices};
pub use request::{ChatRequest, Reply};
pub use runner::Runner;
pub use settings::RunSettings;
pub use store::{DamagedRow, RequestStore, StoreReport};
