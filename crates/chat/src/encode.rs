//! Text with byte spans to token ids with token spans.

use tokenizers::{Model, OffsetType, PreTokenizer, Tokenizer};

use crate::{ChatError, Rendered, Role};

/// The tokens of one message: `ids[start..end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSpan {
    /// Index of the message in the conversation.
    pub message: usize,
    /// Who speaks.
    pub role: Role,
    /// First token.
    pub start: usize,
    /// One past the last token.
    pub end: usize,
}

/// A conversation as token ids, with the tokens of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The conversation's id, for errors.
    pub conversation: String,
    /// The token ids of the whole text, the beginning token included.
    pub ids: Vec<u32>,
    /// The messages' tokens, in order, disjoint. A message may have none.
    pub spans: Vec<TokenSpan>,
    /// Number of tokens before any truncation.
    pub full_len: usize,
}

impl Encoded {
    /// Keeps the first `max_len` tokens, clips the spans to them and drops the
    /// spans that lie outside. Returns how many tokens were cut off.
    pub fn truncate(&mut self, max_len: usize) -> usize {
        let cut = self.ids.len().saturating_sub(max_len);
        self.ids.truncate(max_len);
        self.spans.retain(|span| span.start < max_len);
        for span in &mut self.spans {
            span.end = span.end.min(max_len);
        }
        cut
    }
}

/// Tokenises the whole text in one go and maps the byte spans to tokens: a
/// token belongs to a message when its first byte lies inside the message's
/// span. `prefix` goes in front unless the text already begins with it.
pub(crate) fn encode(
    rendered: &Rendered,
    tokenizer: &Tokenizer,
    prefix: &[u32],
    conversation: &str,
) -> Result<Encoded, ChatError> {
    let failed = |message: String| ChatError::Tokenizer { conversation: conversation.to_string(), message };
    let (mut ids, starts) = tokenise(tokenizer, &rendered.text).map_err(|e| failed(e.to_string()))?;
    if let Some(at) = starts.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(failed(format!(
            "token {} begins at byte {}, before its predecessor at byte {}",
            at + 1,
            starts[at + 1],
            starts[at]
        )));
    }

    let shift = put_before(&mut ids, prefix);
    let spans = rendered
        .spans
        .iter()
        .map(|span| TokenSpan {
            message: span.message,
            role: span.role,
            start: shift + starts.partition_point(|&at| at < span.start),
            end: shift + starts.partition_point(|&at| at < span.end),
        })
        .collect();
    Ok(Encoded { conversation: conversation.to_string(), full_len: ids.len(), ids, spans })
}

/// The ids alone: what generation needs.
pub(crate) fn ids(
    text: &str,
    tokenizer: &Tokenizer,
    prefix: &[u32],
    conversation: &str,
) -> Result<Vec<u32>, ChatError> {
    let (mut ids, _) = tokenise(tokenizer, text).map_err(|error| ChatError::Tokenizer {
        conversation: conversation.to_string(),
        message: error.to_string(),
    })?;
    put_before(&mut ids, prefix);
    Ok(ids)
}

/// Puts `prefix` in front of ids that do not begin with it. Returns how many ids were put there.
fn put_before(ids: &mut Vec<u32>, prefix: &[u32]) -> usize {
    if ids.starts_with(prefix) {
        return 0;
    }
    ids.splice(0..0, prefix.iter().copied());
    prefix.len()
}

/// Ids and first bytes of a text's tokens, as the tokenizer's normaliser,
/// pre-tokenizer and model give them.
///
/// `Tokenizer::encode` would also run the post-processor, and the byte-level
/// one moves offsets past leading white space: the "\n" before an answer would
/// then seem to begin where the answer does. It would also truncate and pad
/// where the tokenizer's file says so. None of that belongs here.
fn tokenise(tokenizer: &Tokenizer, text: &str) -> tokenizers::Result<(Vec<u32>, Vec<usize>)> {
    let mut pieces = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut pieces)?;
    }
    let model = tokenizer.get_model();
    pieces.tokenize(|piece| model.tokenize(piece.get()))?;
    let encoding = pieces.into_encoding(None, 0, OffsetType::Byte)?;
    let starts = encoding.get_offsets().iter().map(|&(start, _)| start);
    Ok((encoding.get_ids().to_vec(), starts.collect()))
}
