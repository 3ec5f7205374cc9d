//! The special tokens that a model's files name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokenizers::{PostProcessor, Tokenizer};

/// Names under which tokenizers of the field keep their beginning token, most telling first.
const BOS_NAMES: [&str; 3] = ["<s>", "<|begin_of_text|>", "<bos>"];
/// The same for the end token.
const EOS_NAMES: [&str; 5] = ["</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>", "<|im_end|>"];

/// A model's special tokens as text, e.g. `<s>` and `</s>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialTokens {
    /// Beginning of sequence.
    pub bos: Option<String>,
    /// End of sequence.
    pub eos: Option<String>,
    /// Further ones by the name that a Jinja template knows them by, e.g. `pad_token`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, String>,
}

impl SpecialTokens {
    /// LLaMA's `<s>` and `</s>`.
    pub fn llama() -> Self {
        Self { bos: Some("<s>".into()), eos: Some("</s>".into()), ..Self::default() }
    }

    /// What a tokenizer most likely uses, where nothing says so: the beginning
    /// token its post-processor adds, else the first of the field's usual names
    /// that the vocabulary has. A model whose `tokenizer_config.json` says
    /// otherwise should be given explicitly.
    pub fn detect(tokenizer: &Tokenizer) -> Self {
        let known = |names: &[&str]| {
            names.iter().find(|name| tokenizer.token_to_id(name).is_some()).map(|name| name.to_string())
        };
        let bos = added_prefix(tokenizer)
            .first()
            .and_then(|&id| tokenizer.id_to_token(id))
            .or_else(|| known(&BOS_NAMES));
        Self { bos, eos: known(&EOS_NAMES), ..Self::default() }
    }
}

/// The ids that the tokenizer's post-processor puts before a text (LLaMA: `[1]`).
pub(crate) fn added_prefix(tokenizer: &Tokenizer) -> Vec<u32> {
    let Some(post_processor) = tokenizer.get_post_processor() else {
        return Vec::new();
    };
    // Any non-empty body will do: what comes before it is the prefix.
    let body =
        tokenizers::Encoding::from_tokens(vec![tokenizers::Token::new(u32::MAX, String::new(), (0, 0))], 0);
    match post_processor.process(body, None, true) {
        Ok(whole) => whole.get_ids().iter().copied().take_while(|&id| id != u32::MAX).collect(),
        Err(_) => Vec::new(),
    }
}
