//! `POST /v1/embeddings`.

use serde::Serialize;
use utoipa::ToSchema;

use super::completion::PromptText;
use super::fields::Fields;
use crate::error::ServeError;

/// What is asked.
#[derive(Clone, Debug)]
pub struct EmbeddingRequest {
    /// The model asked for.
    pub model: String,
    /// The texts.
    pub input: Vec<PromptText>,
    /// Whether vectors come as base64 of little-endian f32, as the official clients ask.
    pub base64: bool,
    /// Names of fields that mean nothing here.
    pub unknown: Vec<String>,
}

impl EmbeddingRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the field that is not what it should be.
    pub fn read(body: &[u8]) -> Result<Self, ServeError> {
        let mut fields = Fields::of_body(body)?;
        let input = PromptText::read(&mut fields, "input")?;
        let expected = "float or base64";
        let base64 = match fields.take::<String>("encoding_format", expected)?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => return Err(fields.wrong("encoding_format", &format!("\"{other}\""), expected)),
        };
        if let Some(dimensions) = fields.value("dimensions") {
            let expected = "none: this model's vectors have one length";
            return Err(fields.wrong("dimensions", &dimensions.to_string(), expected));
        }
        fields.value("user");
        let model = fields.take("model", "the name of a model")?.unwrap_or_default();
        Ok(Self { model, input, base64, unknown: fields.unread() })
    }
}

/// The vectors.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EmbeddingList {
    /// `list`.
    pub object: &'static str,
    /// The vectors, in the order of the texts.
    pub data: Vec<Embedding>,
    /// The model.
    pub model: String,
    /// Tokens read.
    pub usage: EmbeddingUsage,
}

/// One vector.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Embedding {
    /// `embedding`.
    pub object: &'static str,
    /// The text's number.
    pub index: usize,
    /// The vector, of length 1.
    pub embedding: EmbeddingVector,
}

/// A vector as numbers or as base64 of little-endian f32.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingVector {
    /// Numbers.
    Float(Vec<f32>),
    /// Base64.
    Base64(String),
}

/// Tokens read.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of the texts.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}

impl EmbeddingVector {
    /// Writes a vector in the form that was asked for.
    pub fn new(vector: Vec<f32>, base64: bool) -> Self {
        if !base64 {
            return Self::Float(vector);
        }
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::Base64(to_base64(&bytes))
    }
}

/// RFC 4648 with padding.
fn to_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
        }
    }
}
