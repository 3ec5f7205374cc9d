//! From a prompt to text: key-value cache, sampling, stopping and streaming.
//!
//! [`generate_ids`] works on token ids alone; [`generate_text`] adds a tokenizer,
//! stop strings and streaming; [`LocalGenerator`] adds a chat template and is the
//! in-process [`TextGenerator`].

mod chat;
mod ids;
mod many;
mod open;
mod prompt_cache;
pub(crate) mod sampling;
pub(crate) mod stop;
pub(crate) mod stream;
mod text;

pub use camelid_chat::generate::{GenerateOptions, GeneratedText, StopReason, TextGenerator};
pub use chat::LocalGenerator;
pub use ids::{GeneratedIds, generate_ids, generate_ids_cached};
pub use many::generate_texts;
pub use prompt_cache::PromptCache;
pub use sampling::{
    Candidate, Sampler, apply_min_p, apply_repetition_penalty, apply_temperature, apply_top_k, apply_top_p,
    argmax, candidates,
};
pub use stop::StopFilter;
pub use stream::TextStream;
pub use text::{generate_text, generate_text_cached};
