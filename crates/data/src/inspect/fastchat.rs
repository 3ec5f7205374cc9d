//! The labels that FastChat's trainer gives: `preprocess` of `fastchat/train/train.py`, template
//! `vicuna_v1.1`, with what silences whole samples.
//!
//! FastChat finds the mask again by cutting the prompt at `</s>` and ` ASSISTANT: ` and tokenising the
//! pieces one by one. Where the pieces' tokens do not add up to the prompt's, it warns and leaves the whole
//! sample without loss.

use camelid_chat::{IGNORE_INDEX, Message, Role};
use tokenizers::Tokenizer;

use crate::DataError;

const SYSTEM: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.";
const ROLES: [&str; 2] = ["USER", "ASSISTANT"];
const SEPARATORS: [&str; 2] = [" ", "</s>"];

/// FastChat's trainer, as far as it makes labels.
#[derive(Clone, Copy)]
pub struct Fastchat<'a> {
    /// Without truncation and padding of its own.
    pub tokenizer: &'a Tokenizer,
    /// `model_max_length`.
    pub max_length: usize,
    /// Whether a text has the same tokens after `</s>` as alone, as with LLaMA's slow tokenizer unless it is
    /// told otherwise; else FastChat counts one less.
    pub legacy: bool,
}

/// A sample as FastChat's trainer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastchatSample {
    /// A label for each position up to `max_length`, but for padding at the end, which has none.
    pub labels: Vec<i64>,
    /// What FastChat prints.
    pub warning: Option<String>,
}

impl FastchatSample {
    /// Whether no token carries loss.
    pub fn silenced(&self) -> bool {
        self.labels.iter().all(|label| *label == IGNORE_INDEX)
    }
}

impl Fastchat<'_> {
    /// The labels of a conversation. `None` where FastChat raises an exception instead, which ends its run:
    /// at a system turn, or where roles do not alternate.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn sample(&self, messages: &[Message]) -> Result<Option<FastchatSample>, DataError> {
        let begins_late = messages.first().is_some_and(|message| message.role != Role::User);
        let messages = &messages[usize::from(begins_late)..];
        let in_turn = [Role::User, Role::Assistant].into_iter().cycle();
        if messages.iter().zip(in_turn).any(|(message, role)| message.role != role) {
            return Ok(None);
        }
        let prompt = prompt(messages);
        let unknown = self.tokenizer.token_to_id("<unk>");
        let mut labels: Vec<i64> =
            self.ids(&prompt)?.into_iter().take(self.max_length).map(i64::from).collect();
        // Tokens that are not the padding, which is `<unk>`: one in the text is missed.
        let padding = unknown.map_or(IGNORE_INDEX, i64::from);
        let total = labels.iter().filter(|id| **id != padding).count();

        let separator = format!(" {}: ", ROLES[1]);
        // Another tokenizer's turns begin with a token less after `</s>` than alone.
        let fewer = usize::from(!self.legacy);
        let mut at = 1;
        let mut silent = Vec::new();
        silent.push(0..at);
        let turns: Vec<&str> = prompt.split(SEPARATORS[1]).collect();
        for (index, turn) in turns.iter().enumerate() {
            if turn.is_empty() {
                break;
            }
            let length = self.ids(turn)?.len();
            let mut parts = turn.split(&separator);
            let (Some(instruction), Some(_), None) = (parts.next(), parts.next(), parts.next()) else {
                break;
            };
            let mut instruction = self.ids(&format!("{instruction}{separator}"))?.len().saturating_sub(2);
            let mut length = length;
            if index != 0 {
                instruction = instruction.saturating_sub(fewer);
                length = length.saturating_sub(fewer);
            }
            silent.push(at..at + instruction);
            at += length;
        }
        // Where the pieces have more tokens than the prompt, the padding gets labels.
        labels.resize(self.max_length.min(labels.len().max(at)), padding);
        silent.push(at..labels.len());
        let mut warning = None;
        if at < self.max_length && at != total {
            silent.push(0..labels.len());
            let turns = turns.len() - 1;
            warning =
                Some(format!("WARNING: tokenization mismatch: {at} vs. {total}. #turn = {turns}. (ignored)"));
        }
        let end = labels.len();
        for range in silent {
            labels[range.start.min(end)..range.end.min(end)].fill(IGNORE_INDEX);
        }
        Ok(Some(FastchatSample { labels, warning }))
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoding = self.tokenizer.encode_fast(text, true);
        Ok(encoding.map_err(|error| DataError::Tokenizer(error.to_string()))?.get_ids().to_vec())
    }
}

/// FastChat's `get_prompt`: after a message that is empty stands nothing, not even a separator.
fn prompt(messages: &[Message]) -> String {
    let mut prompt = format!("{SYSTEM}{}", SEPARATORS[0]);
    for (index, message) in messages.iter().enumerate() {
        prompt += ROLES[index % 2];
        prompt += ":";
        if !message.content.is_empty() {
            prompt += " ";
            prompt += &message.content;
            prompt += SEPARATORS[index % 2];
        }
    }
    prompt
}
