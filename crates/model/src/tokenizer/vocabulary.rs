//! The token list that a GGUF file embeds.

use tokenizers::models::bpe::Vocab;

use crate::error::ModelError;
use crate::gguf::GgufFile;

/// The token list of the file, found consistent.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: &'a [String],
    /// One per token; empty when the file has none, which makes every token normal.
    pub(super) types: &'a [i64],
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Result<Self, ModelError> {
        let tokens = file.strings("tokenizer.ggml.tokens")?;
        let types_key = "tokenizer.ggml.token_type";
        let types = match file.value(types_key) {
            Some(_) => file.integers(types_key)?,
            None => &[],
        };
        if !types.is_empty() && types.len() != tokens.len() {
            return Err(wrong(
                file,
                format!(
                    "`{types_key}` has {} elements, expected one for each of {} tokens",
                    types.len(),
                    tokens.len()
                ),
            ));
        }
        Ok(Self { tokens, types })
    }

    /// Tokens to ids, as the library's models take them. Of a token that is there twice, as in some
    /// converted vocabularies, the last id counts, as in llama.cpp; the others decode to nothing.
    pub(super) fn ids(&self) -> Vocab {
        self.tokens.iter().cloned().zip(0..).collect()
    }

    /// Id and text of the token that `key` gives the id of.
    pub(super) fn token(&self, file: &GgufFile, key: &str) -> Result<Option<(u32, &'a str)>, ModelError> {
        let Some(id) = file.optional_size(key)? else {
            return Ok(None);
        };
        let token = self.tokens.get(id).map(String::as_str);
        match (u32::try_from(id), token) {
            (Ok(id), Some(token)) => Ok(Some((id, token))),
            _ => Err(wrong(
                file,
                format!("`{key}` is {id}, outside the vocabulary of {} tokens", self.tokens.len()),
            )),
        }
    }
}

/// An error about the embedded tokenizer of `file`.
pub(super) fn wrong(file: &GgufFile, problem: impl ToString) -> ModelError {
    ModelError::Tokenizer { origin: file.path().display().to_string(), problem: problem.to_string() }
}
