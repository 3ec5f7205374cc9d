//! Conversations as token ids and labels, built once and cached as Parquet.

mod cache;

use std::path::Path;

use camelid_chat::{ChatError, Conversation, Encoded, IGNORE_INDEX, LossOn, Template, labels};
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::{DataError, LoadReport};

pub use cache::CacheOutcome;

/// One training example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The conversation's id.
    pub id: String,
    /// Token ids.
    pub ids: Vec<u32>,
    /// One label per id, not shifted: `labels[i]` is `ids[i]` where that token is
    /// learnt and `IGNORE_INDEX` elsewhere. [`Batch`](crate::Batch) shifts.
    pub labels: Vec<i64>,
}

/// Where long conversations are cut. Limits apply in the order of the fields;
/// what is cut is always the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Truncation {
    /// Tokens kept of the source: what comes before the first learnt token. With
    /// loss on everything the source is the beginning-of-text token alone, as
    /// QLoRA's script has it for OASST1 (its `source_max_len`, 16).
    pub source: Option<usize>,
    /// Tokens kept of the target: the rest (QLoRA's `target_max_len`, 512).
    pub target: Option<usize>,
    /// Tokens kept in all.
    pub total: Option<usize>,
}

/// What to learn from a conversation, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizeOptions {
    /// Which tokens are learnt.
    pub loss_on: LossOn,
    /// Where long conversations are cut.
    #[serde(default)]
    pub truncation: Truncation,
}

/// What tokenisation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// Conversations read, kept and dropped.
    pub conversations: LoadReport,
    /// Kept conversations that were cut.
    pub truncated: usize,
    /// Tokens that were cut from them.
    pub tokens_cut: usize,
    /// Tokens kept.
    pub tokens: usize,
    /// Tokens that are learnt; the first of an example never is.
    pub supervised_tokens: usize,
}

/// Tokenised conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedSet {
    /// The examples, in the conversations' order.
    pub examples: Vec<Example>,
    /// What was cut and dropped.
    pub report: TokenReport,
}

/// Reason under which a [`TokenReport`] counts conversations that lose
/// everything learnable to truncation.
pub const TRUNCATED_AWAY: &str = "nothing to learn after truncation";

impl TokenizedSet {
    /// Renders, tokenises, masks and truncates conversations.
    ///
    /// A conversation whose learnt tokens are all cut off is dropped and counted.
    ///
    /// # Errors
    /// A conversation that cannot be rendered or masked at all, by its id; a
    /// tokenizer without the template's tokens; a limit of 0; nothing left.
    pub fn build(
        conversations: &[Conversation],
        tokenizer: &Tokenizer,
        template: &Template,
        options: &TokenizeOptions,
    ) -> Result<Self, DataError> {
        let Truncation { source: _, target, total } = options.truncation;
        if target == Some(0) || total == Some(0) {
            return Err(DataError::Option("truncation to 0 tokens leaves no example".to_string()));
        }
        let mut report =
            TokenReport { conversations: LoadReport::new("conversations"), ..TokenReport::default() };
        let mut examples = Vec::with_capacity(conversations.len());
        for conversation in conversations {
            let encoded = template.encode(conversation, tokenizer, false)?;
            match example(&encoded, tokenizer, options)? {
                None => report.conversations.drop_item(TRUNCATED_AWAY, &conversation.id),
                Some(example) => {
                    report.conversations.keep();
                    let cut = encoded.ids.len() - example.ids.len();
                    report.truncated += usize::from(cut > 0);
                    report.tokens_cut += cut;
                    report.tokens += example.ids.len();
                    report.supervised_tokens += learnt(&example.labels);
                    examples.push(example);
                }
            }
        }
        if examples.is_empty() {
            return Err(DataError::Empty {
                what: "tokenisation".to_string(),
                report: Box::new(report.conversations),
            });
        }
        Ok(Self { examples, report })
    }

    /// As [`TokenizedSet::build`], but looks in `dir` first and leaves the result
    /// there as Parquet, named after a hash of conversations, tokenizer, template
    /// and options, and after its own SHA-256. A damaged file is removed and
    /// built anew; [`CacheOutcome`] says so.
    ///
    /// # Errors
    /// As [`TokenizedSet::build`]; also when the folder cannot be read or written.
    pub fn cached(
        dir: &Path,
        conversations: &[Conversation],
        tokenizer: &Tokenizer,
        template: &Template,
        options: &TokenizeOptions,
    ) -> Result<(Self, CacheOutcome), DataError> {
        cache::load_or_build(dir, conversations, tokenizer, template, options)
    }

    /// Number of tokens of each example, for a [`Sampler`](crate::Sampler).
    pub fn lengths(&self) -> Vec<usize> {
        self.examples.iter().map(|e| e.ids.len()).collect()
    }
}

/// `None` when truncation leaves nothing to learn.
fn example(
    encoded: &Encoded,
    tokenizer: &Tokenizer,
    options: &TokenizeOptions,
) -> Result<Option<Example>, DataError> {
    let all_labels = match labels(encoded, options.loss_on) {
        Ok(labels) => labels,
        Err(ChatError::TruncatedAway { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let limits = options.truncation;
    let source = source_len(encoded, &all_labels, tokenizer, options.loss_on);
    let source_kept = limits.source.map_or(source, |limit| source.min(limit));
    let target = encoded.ids.len() - source;
    let target_kept = limits.target.map_or(target, |limit| target.min(limit));

    let mut ids = encoded.ids[..source_kept].to_vec();
    ids.extend_from_slice(&encoded.ids[source..source + target_kept]);
    let mut labels = all_labels[..source_kept].to_vec();
    labels.extend_from_slice(&all_labels[source..source + target_kept]);
    if let Some(limit) = limits.total {
        ids.truncate(limit);
        labels.truncate(limit);
    }
    Ok((learnt(&labels) > 0).then(|| Example { id: encoded.conversation.clone(), ids, labels }))
}

/// Number of leading tokens that are source, not target.
fn source_len(encoded: &Encoded, labels: &[i64], tokenizer: &Tokenizer, loss_on: LossOn) -> usize {
    match loss_on {
        LossOn::Assistant => labels.iter().position(|label| *label != IGNORE_INDEX).unwrap_or(labels.len()),
        LossOn::All => {
            let special = |id: &u32| {
                tokenizer
                    .get_added_vocabulary()
                    .get_added_tokens_decoder()
                    .get(id)
                    .is_some_and(|token| token.special)
            };
            usize::from(encoded.ids.first().is_some_and(special))
        }
    }
}

/// Labels some position predicts; none predicts the first.
fn learnt(labels: &[i64]) -> usize {
    let predicted = labels.iter().skip(1);
    predicted.filter(|label| **label != IGNORE_INDEX).count()
}
