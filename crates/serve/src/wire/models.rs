//! `GET /v1/models`, and the counts that every answer carries.

use serde::Serialize;
use utoipa::ToSchema;

/// The models there are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The models.
    pub data: Vec<ModelCard>,
}

/// One model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelCard {
    /// The name that requests give.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// `camelid`.
    pub owned_by: &'static str,
    /// The model itself, or the one that an adapter sits on.
    pub root: String,
    /// Tokens that prompt and answer may have together; the name is vLLM's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_model_len: Option<usize>,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompts.
    pub prompt_tokens: usize,
    /// Tokens made, all choices together. A stop token is none of them.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// Of the prompts' tokens.
    pub prompt_tokens_details: PromptTokensDetails,
}

/// More about the tokens of prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// Those that were known already and not computed again.
    pub cached_tokens: usize,
}

impl Usage {
    /// Counts of an answer.
    pub fn new(prompt_tokens: usize, cached_tokens: usize, completion_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens },
        }
    }
}
