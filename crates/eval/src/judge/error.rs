//! What keeps judges from being asked or their files from being read.

use std::path::{Path, PathBuf};

use camelid_chat::openai::OpenAiError;

use camelid_chat::requests::RunError;
use camelid_files::FileError;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A file cannot be read.
    #[error("{path}: cannot read the {what}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What it should hold, e.g. `questions`.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a JSONL file is not what it should be.
    #[error("{path}, line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it and what was expected.
        message: String,
    },
    /// A file as a whole is not what it should be.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
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
    #[error("{path}: cannot open the model: {message}")]
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
    /// A result cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

impl JudgeError {
    /// An error about a line of a file.
    pub(super) fn line(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, message: message.into() }
    }

    /// An error about a file as a whole.
    pub(super) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), message: message.into() }
    }
}
