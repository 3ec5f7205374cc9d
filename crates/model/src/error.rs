//! Everything that can go wrong between a file on disk and a token on screen.

use std::path::PathBuf;

/// An error of this crate. Each names the file, setting or tensor at fault and
/// what was expected instead.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file is not what it should be, a Git LFS pointer for one.
    #[error(transparent)]
    Files(#[from] camelid_files::FileError),
    /// A file that should hold JSON does not.
    #[error("{}: not valid JSON: {cause}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        cause: serde_json::Error,
    },
    /// A setting the model needs is absent.
    #[error("{origin}: the setting `{setting}` is missing")]
    MissingSetting {
        /// The file, or what else the configuration came from.
        origin: String,
        /// The setting's name.
        setting: String,
    },
    /// A setting has a value that this crate cannot honour.
    #[error("{origin}: `{setting}` is {found}; supported: {supported}")]
    Unsupported {
        /// The file, or what else the configuration came from.
        origin: String,
        /// The setting's name.
        setting: String,
        /// The value found.
        found: String,
        /// What would have been accepted.
        supported: String,
    },
    /// The weights lack a tensor that the configuration calls for.
    #[error("{origin}: tensor `{name}` is missing; expected with shape {expected:?}; {}", there_are(found))]
    MissingTensor {
        /// Where the weights come from.
        origin: String,
        /// The tensor's Hugging Face name.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The tensors there are.
        found: Vec<String>,
    },
    /// The weights hold a tensor that the model has no place for.
    #[error(
        "{origin}: unexpected tensor `{name}`{}; the configuration has no place for it",
        others(*count)
    )]
    UnexpectedTensor {
        /// Where the weights come from.
        origin: String,
        /// The first such tensor.
        name: String,
        /// How many there are in all.
        count: usize,
    },
    /// A tensor has another shape than the configuration calls for.
    #[error("{origin}: tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Where the weights come from.
        origin: String,
        /// The tensor's name.
        name: String,
        /// The shape the configuration calls for.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A tensor is stored in a way that this use of it cannot take.
    #[error("{origin}: tensor `{name}` {problem}")]
    Tensor {
        /// Where the weights come from.
        origin: String,
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A weight file is damaged or of an unknown kind.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Two blocks do not fit the memory that streamed weights may take.
    #[error(
        "{origin}: streaming needs two blocks in memory, {needed} bytes; the budget for weights is \
         {budget} bytes"
    )]
    StreamBudget {
        /// Where the weights come from.
        origin: String,
        /// The budget given, in bytes.
        budget: u64,
        /// The smallest that would do, in bytes.
        needed: u64,
    },
    /// Weights that stream from a file could not be read any more.
    #[error("{}: tensor `{tensor}` (bytes {} to {}) cannot be read: {cause}", path.display(), range.start, range.end)]
    StreamRead {
        /// The file.
        path: PathBuf,
        /// The tensor, or the part of a packed weight.
        tensor: String,
        /// Where it lies in the file.
        range: std::ops::Range<usize>,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A tokenizer could not be loaded, or failed on a text.
    #[error("tokenizer {origin}: {problem}")]
    Tokenizer {
        /// The file, or what else the tokenizer came from.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// A token id lies outside the vocabulary.
    #[error("token id {id} at position {position} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Its place among the ids.
        position: usize,
        /// The size of the vocabulary.
        vocab_size: usize,
    },
    /// A generation option is out of its range.
    #[error(transparent)]
    Option(#[from] camelid_chat::OptionError),
    /// The model computed logits that are not numbers.
    #[error("the logits after {position} tokens are not numbers: a weight or an adapter is damaged")]
    NotANumber {
        /// Tokens read so far.
        position: usize,
    },
    /// The prompt holds no token, so there is nothing to continue.
    #[error("the prompt is empty: generation needs at least one token")]
    EmptyPrompt,
    /// A prompt and what is to follow it are longer than the model's context.
    #[error(
        "the prompt has {prompt} tokens and up to {new} are to follow: {} in all, more than the {context} \
         of the context", prompt.saturating_add(*new)
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt: usize,
        /// Most tokens that may follow.
        new: usize,
        /// Most tokens in all.
        context: usize,
    },
    /// A sequence is longer than the whole key-value cache.
    #[error(
        "prompt and answer may have {positions} tokens; the key-value cache holds {cache}: a larger \
         cache or fewer new tokens are needed"
    )]
    CacheOverflow {
        /// Tokens of prompt and answer.
        positions: usize,
        /// Tokens that the cache has room for.
        cache: usize,
    },
    /// There is no adapter of this name beside the model.
    #[error("there is no adapter `{name}`; {}", there_are_adapters(known))]
    UnknownAdapter {
        /// The name asked for.
        name: String,
        /// The adapters there are.
        known: Vec<String>,
    },
    /// A constraint on the text cannot be read or kept.
    #[error("the constraint on the text: {problem}")]
    Constraint {
        /// What is wrong with it.
        problem: String,
    },
    /// The engine that was asked has ended.
    #[error("the engine has ended")]
    EngineEnded,
    /// The conversation could not be rendered for the model.
    #[error(transparent)]
    Chat(#[from] camelid_chat::ChatError),
    /// A GGUF file is damaged, lacks something, or holds something unsupported.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// The weights could not be packed.
    #[error("{origin}: {cause}")]
    Packing {
        /// Where the weights come from.
        origin: String,
        /// The tensor, and why not.
        cause: camelid_quant::QuantError,
    },
    /// The packed weights could not be made or read.
    #[error(transparent)]
    Quant(#[from] camelid_quant::QuantError),
}

/// The first names of a list, in words.
fn there_are(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(6).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(6) {
        _ if names.is_empty() => "there are no tensors".to_owned(),
        0 => format!("there are {}", shown.join(", ")),
        more => format!("there are {} and {more} more", shown.join(", ")),
    }
}

fn there_are_adapters(known: &[String]) -> String {
    match known.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are `{}`", known.join("`, `")),
    }
}

fn others(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    }
}

impl ModelError {
    /// Wraps an I/O error with the file it concerns.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { path, cause }
    }
}
