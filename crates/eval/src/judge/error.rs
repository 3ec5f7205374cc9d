//! What keeps judges from being asked or their files from being read.

use std::path::{Path, PathBuf};

use camelid_chat::openai::OpenAiError;
use camelid_chat::requests::RunError;
use camelid_files::FileError;
use camelid_files::records::Place;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A file cannot be read or written, or is as a whole not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record of a file is not what it should be.
    #[error("{}: {place}: {message}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Its line or item.
        place: Place,
        /// What is wrong with it and what was expected.
        message: String,
    },
    /// A judge prompt cannot be used.
    #[error("judge prompt `{prompt}`: {message}")]
    Prompt {
        /// Its name.
        prompt: String,
        /// What is wrong with it and what was expected.
        message: String,
    },
    /// A set of prompts has none for a case that has to be judged.
    #[error("the judge prompts of {set} have none for {case}")]
    NoPrompt {
        /// Where the prompts come from.
        set: String,
        /// The case, in words.
        case: String,
    },
    /// A question's category is judged beside a reference answer, and there is none.
    #[error(
        "question {question}, category `{category}`: no reference answer to turn {turn}; name a file of reference \
         answers, or have the judge do without them"
    )]
    NoReference {
        /// The question.
        question: String,
        /// Its category.
        category: String,
        /// The turn, from 1.
        turn: u32,
    },
    /// Models are missing, or one is there twice.
    #[error("{message}; models: {present}")]
    Models {
        /// What is wrong and what was expected.
        message: String,
        /// The models there are.
        present: String,
    },
    /// A model's files cannot be used.
    #[error("cannot open the model: {}", placed(path, message))]
    Model {
        /// The model.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A setting lies outside its range.
    #[error("setting `{name}` is {found}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// An endpoint cannot be asked.
    #[error(transparent)]
    Endpoint(#[from] OpenAiError),
    /// A run of requests ended early.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl JudgeError {
    /// An error about a record of a file.
    pub(super) fn record(path: &Path, place: Place, message: impl Into<String>) -> Self {
        Self::Record { path: path.to_owned(), place, message: message.into() }
    }

    /// An error about a file as a whole.
    pub(super) fn content(path: &Path, message: impl Into<String>) -> Self {
        Self::File(FileError::Content { path: path.to_owned(), message: message.into() })
    }
}

/// A message with its file in front, unless it begins with that.
fn placed(path: &Path, message: &str) -> String {
    let path = path.display().to_string();
    if message.starts_with(&path) { message.to_owned() } else { format!("{path}: {message}") }
}
