//! Token ids to text, piece by piece.

use std::ops::Deref;

use tokenizers::Tokenizer;

use crate::error::ModelError;

/// Decodes a growing list of tokens, giving out text only in whole characters.
///
/// A token may hold part of a UTF-8 character, and some tokenizers write a
/// token differently at the start of a text. So each new piece is the
/// difference of two decodings that begin at the same earlier token, and is
/// held back while it ends in an unfinished character (the method of Hugging
/// Face's text-generation-inference).
#[derive(Debug)]
pub struct TextStream<T> {
    tokenizer: T,
    ids: Vec<u32>,
    /// First token of the window that is decoded.
    start: usize,
    /// Tokens before this one have been given out.
    given: usize,
}

impl<T: Deref<Target = Tokenizer>> TextStream<T> {
    /// A stream that continues `context`, which is not given out. Special tokens
    /// are left out of the text. The tokenizer is borrowed or shared.
    pub fn new(tokenizer: T, context: &[u32]) -> Self {
        // A few tokens of context are enough to settle leading spaces.
        let context = &context[context.len().saturating_sub(CONTEXT)..];
        Self { tokenizer, ids: context.to_vec(), start: 0, given: context.len() }
    }

    /// Takes the next token and returns the text it completes, which may be empty.
    ///
    /// # Errors
    /// When the tokenizer cannot decode its own tokens.
    pub fn push(&mut self, id: u32) -> Result<String, ModelError> {
        self.ids.push(id);
        let before = self.decode(self.start, self.given)?;
        let with = self.decode(self.start, self.ids.len())?;
        // U+FFFD at the end: bytes of a character that is not finished.
        if with.len() <= before.len() || with.ends_with('\u{FFFD}') {
            return Ok(String::new());
        }
        let piece = with.get(before.len()..).unwrap_or_default().to_string();
        self.start = self.given;
        self.given = self.ids.len();
        Ok(piece)
    }

    /// The text of tokens still held back, once no more come: an unfinished
    /// character shows as U+FFFD.
    ///
    /// # Errors
    /// As [`TextStream::push`].
    pub fn finish(self) -> Result<String, ModelError> {
        let before = self.decode(self.start, self.given)?;
        let with = self.decode(self.start, self.ids.len())?;
        Ok(with.get(before.len()..).unwrap_or_default().to_string())
    }

    fn decode(&self, from: usize, to: usize) -> Result<String, ModelError> {
        self.tokenizer.decode(&self.ids[from..to], true).map_err(|e| ModelError::Tokenizer {
            origin: "in use".into(),
            problem: format!("cannot decode {:?}: {e}", &self.ids[from..to]),
        })
    }
}

/// Tokens of the prompt that a decoding begins with.
const CONTEXT: usize = 4;
