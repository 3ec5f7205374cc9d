//! What can go wrong around a run.

use std::path::{Path, PathBuf};

use camelid_chat::ChatError;
use camelid_data::DataError;
use camelid_eval::exact_match::AnswerError;
use camelid_eval::judge::JudgeError;
use camelid_evolve::EvolveError;
use camelid_files::FileError;
use camelid_kernels::UnknownDevice;
use camelid_lora::LoraError;
use camelid_model::ModelError;
use camelid_quant::QuantError;
use camelid_sandbox::SandboxError;
use camelid_train::TrainError;

/// Error of this crate. A message holds its cause.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// An experiment that does not say what it should.
    #[error("{}: {reason}", place(path, *line))]
    Experiment {
        /// The file.
        path: PathBuf,
        /// Line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A setting given beside the file that cannot be.
    #[error("setting `{setting}`: {reason}")]
    Override {
        /// As given, `key.path=value`.
        setting: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// Settings that a run which is under way cannot go on with.
    #[error(
        "a run goes on only with settings under which the steps that it has done would have been the \
         same; these would change them: {}; start another run instead", changes.join(", ")
    )]
    Resume {
        /// Key, value, and the value that the run has.
        changes: Vec<String>,
    },
    /// A base model that is neither a path nor known.
    #[error("no base model `{base}`: {reason}")]
    Base {
        /// As the experiment names it.
        base: String,
        /// What was tried.
        reason: String,
    },
    /// A part of a run in a process of its own.
    #[error("{what} failed: {reason}")]
    Child {
        /// Which part.
        what: String,
        /// Why.
        reason: String,
    },
    /// A page or plot of the report.
    #[error(transparent)]
    Report(#[from] camelid_report::ReportError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The data crate's own error.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A template that is not there or does not fit.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The model's own error.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The adapters' own error.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The trainer's own error.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A weight that cannot be packed.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A device that this build does not have.
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// A question that a model could not answer.
    #[error("{0}")]
    Answer(AnswerError),
    /// A judge that cannot be asked.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// Programs that cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// An evolution that cannot be made.
    #[error(transparent)]
    Evolve(#[from] EvolveError),
}

// By hand, so that the cause that the message holds is not printed a second time as its source.
impl From<AnswerError> for RecipeError {
    fn from(error: AnswerError) -> Self {
        Self::Answer(error)
    }
}

fn place(path: &Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}
