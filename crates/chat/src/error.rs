//! What can go wrong between a conversation and its training labels.

use std::path::PathBuf;

use crate::conversation::Role;

/// Every error of this crate. Those about data name the conversation's id.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// No built-in template has this name.
    #[error("unknown template `{name}`; the built-in templates are {known}")]
    UnknownTemplate {
        /// The name asked for.
        name: String,
        /// The names there are, comma-separated.
        known: String,
    },
    /// A template definition cannot be read.
    #[error("template `{template}`: {message}")]
    BadTemplate {
        /// The template's name.
        template: String,
        /// What is wrong, with the line where known.
        message: String,
    },
    /// A model's tokenizer or template file cannot be read.
    #[error("{}: {message}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A file beside a model cannot be read.
    #[error(transparent)]
    Files(#[from] camelid_files::FileError),
    /// A model has chat templates by name and none for general use.
    #[error(
        "{origin}: there are chat templates named {names}, and none named default; choose one by its name"
    )]
    NoDefaultTemplate {
        /// Where the templates come from.
        origin: String,
        /// Their names, comma-separated.
        names: String,
    },
    /// The tokenizer has no such token, but the template writes it.
    #[error(
        "template `{template}` needs the token {token}, which the tokenizer does not have as a single token"
    )]
    MissingToken {
        /// The template's name.
        template: String,
        /// The token, or a description of it.
        token: String,
    },
    /// The conversation has no messages.
    #[error("conversation `{conversation}` has no messages")]
    Empty {
        /// The conversation's id.
        conversation: String,
    },
    /// A turn where the template does not allow it.
    #[error(
        "conversation `{conversation}`: message {message} is by the {found}, but template `{template}` expects the {expected} there"
    )]
    RoleOrder {
        /// The conversation's id.
        conversation: String,
        /// The template's name.
        template: String,
        /// Index of the message, from 0.
        message: usize,
        /// Who speaks.
        found: Role,
        /// Who should.
        expected: Role,
    },
    /// A Jinja template raised an exception or failed.
    #[error("conversation `{conversation}`: template `{template}` refused it: {message}")]
    Refused {
        /// The conversation's id.
        conversation: String,
        /// The template's name.
        template: String,
        /// The template's own words.
        message: String,
    },
    /// Tools were given, or a call of one, and the template does not tell the model of tools.
    #[error("template `{template}` has no words for tools")]
    NoTools {
        /// The template's name.
        template: String,
    },
    /// A Jinja template's output cannot be taken apart into its messages.
    #[error(
        "conversation `{conversation}`: template `{template}` cannot be spanned: {reason}; no exact loss mask exists"
    )]
    NotSpannable {
        /// The conversation's id.
        conversation: String,
        /// The template's name.
        template: String,
        /// Which check failed.
        reason: String,
    },
    /// The tokenizer failed or gave offsets that are not in order.
    #[error("conversation `{conversation}`: tokenizer: {message}")]
    Tokenizer {
        /// The conversation's id.
        conversation: String,
        /// The tokenizer's words.
        message: String,
    },
    /// The loss is on the assistant's turns and there is none.
    #[error("conversation `{conversation}` cannot be masked: it has no assistant turn")]
    NoAssistantTurn {
        /// The conversation's id.
        conversation: String,
    },
    /// Truncation left no token to learn from.
    #[error(
        "conversation `{conversation}` cannot be masked: the first {kept} of its {full} tokens hold nothing to train on"
    )]
    TruncatedAway {
        /// The conversation's id.
        conversation: String,
        /// Tokens kept.
        kept: usize,
        /// Tokens before truncation.
        full: usize,
    },
}
