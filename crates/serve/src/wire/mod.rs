//! What goes over the wire of OpenAI's API, and how it is read.

mod chat;
mod completion;
mod embedding;
mod fields;
mod finish;
mod ids;
mod logprobs;
mod message;
mod models;
mod sampling;
mod tools;

pub use chat::{ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta, ChatReply, ChatRequest};
pub use completion::{Completion, CompletionChoice, CompletionRequest, PromptText};
pub use embedding::{Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, EmbeddingVector};
pub use fields::Fields;
pub use finish::finish_reason;
pub use ids::{new_id, unix_seconds};
pub use logprobs::{ChatLogprobs, CompletionLogprobs, TokenLogprob, TopLogprob};
pub use message::{ChatMessage, ChatRole};
pub use models::{ModelCard, ModelList, Usage};
pub use sampling::{ResponseFormat, Sampling, StreamOptions};
pub use tools::{FunctionCall, ToolCall, ToolCallDelta, ToolChoice, Tools};
