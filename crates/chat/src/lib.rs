#![doc = include_str!("../README.md")]

mod byte_tokens;
mod conversation;
mod encode;
mod error;
pub mod generate;
mod jinja;
mod labels;
mod layout;
mod model_files;
#[cfg(feature = "openai")]
pub mod openai;
#[cfg(feature = "requests")]
pub mod requests;
mod special_tokens;
mod template;

pub use byte_tokens::{byte_to_char, byte_token, char_to_byte};
pub use conversation::{Conversation, Message, Role};
pub use encode::{Encoded, TokenSpan};
pub use error::ChatError;
pub use generate::{GenerateFailure, GenerateOptions, GeneratedText, OptionError, StopReason, TextGenerator};
pub use labels::{IGNORE_INDEX, LossOn, labels};
pub use layout::{Rendered, Span};
pub use model_files::{ChatFiles, DEFAULT_TEMPLATE};
pub use special_tokens::SpecialTokens;
pub use template::{BUILTIN_TEMPLATES, Template};
