//! Why a task could not be read, asked or scored.

use std::path::PathBuf;

use camelid_files::FileError;
use camelid_model::ModelError;
use camelid_sandbox::SandboxError;

use crate::language_model::ModelFailure;

/// An error of [`tasks`](crate::tasks). Each names the file, field or example at fault.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A task definition is not what it should be: a missing or unknown field, a template that
    /// does not parse.
    #[error("task file {origin}: {problem}")]
    Definition {
        /// The file, or the name of a built-in task.
        origin: String,
        /// What is wrong; names the field.
        problem: String,
    },
    /// No built-in task has this name.
    #[error("no task is called `{name}`{hint}; there are: {known}; or give a .toml file")]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// The nearest name, where one is near.
        hint: String,
        /// All names.
        known: String,
    },
    /// None of the places holds the task's rows.
    #[error("task {task}: no file matches {patterns} in {places}{sources}")]
    NoData {
        /// The task.
        task: String,
        /// What was looked for.
        patterns: String,
        /// Where.
        places: String,
        /// Where it can be had.
        sources: String,
    },
    /// A data file, or a row of it, is damaged or lacks a field.
    #[error("{place}: {problem}")]
    Row {
        /// File and row.
        place: String,
        /// What is wrong; names the field.
        problem: String,
    },
    /// A setting of a run does not fit the task.
    #[error("task {task}: {problem}")]
    Setting {
        /// The task.
        task: String,
        /// What is wrong.
        problem: String,
    },
    /// The model failed on an example.
    #[error("task {task}, example {example}: {source}")]
    Model {
        /// The task.
        task: String,
        /// The example's id.
        example: String,
        /// Why.
        source: ModelFailure,
    },
    /// Programs cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A model's files cannot be used.
    #[error(transparent)]
    Weights(#[from] ModelError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows cannot be laid out as a table.
    #[error("{}: cannot lay the examples out as a table: {message}", path.display())]
    Table {
        /// The file to be written.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Rows of an earlier run were made with other settings.
    #[error(
        "{}: begun with other settings ({there}; now {now}); name another folder, or remove the file",
        path.display()
    )]
    OtherSettings {
        /// The file of finished rows.
        path: PathBuf,
        /// Its settings.
        there: String,
        /// This run's.
        now: String,
    },
}

impl TaskError {
    /// For `map_err` on file operations.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
