//! What can go wrong, and where.

use std::path::PathBuf;

use camelid_files::FileError;

/// Error of the optimizer. Unless a variant says otherwise, neither parameters nor state changed.
#[derive(Debug, thiserror::Error)]
pub enum OptimError {
    /// A setting outside its range.
    #[error("optimizer setting {name} = {value}: expected {expected}")]
    Setting {
        /// The field.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would do.
        expected: &'static str,
    },
    /// A learning rate that is negative or not finite.
    #[error("learning rate {lr} for `{key}`: expected a finite value >= 0")]
    LearningRate {
        /// The parameter.
        key: String,
        /// The rate given.
        lr: f64,
    },
    /// A gradient that is infinite or not a number.
    #[error("the gradient of `{key}` is {value} at index {index}: expected finite values")]
    NonFinite {
        /// The parameter.
        key: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Parameter, gradient and stored state disagree in length.
    #[error("`{key}`: the {what} has {found} elements, expected {expected}")]
    Length {
        /// The parameter.
        key: String,
        /// Which of them is wrong.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A parameter that cannot be updated in place as `f32`.
    #[error("`{key}` is stored as {found}; only f32 parameters can be trained")]
    NotF32 {
        /// The parameter.
        key: String,
        /// Its type.
        found: String,
    },
    /// Values could not be read from the device.
    #[error("`{key}`: {source}")]
    Device {
        /// The parameter.
        key: String,
        /// The tensor library's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No room for pages. Found while reserving space, before any value changed.
    #[error(
        "no space for {bytes} bytes of paged state in {dir}: {source}; free some space, \
         raise the budget, or spill elsewhere (nothing was changed)"
    )]
    SpillFull {
        /// The spill directory.
        dir: PathBuf,
        /// Bytes that were wanted.
        bytes: u64,
        /// The system's error.
        source: std::io::Error,
    },
    /// Reading or writing a page failed although its space was reserved (a failing disk). A page
    /// that could not be written stays in memory; a tensor larger than a page may have been
    /// updated in part, so go back to the last checkpoint.
    #[error("paged state in {dir}: cannot {what} a page: {source}")]
    SpillIo {
        /// The spill directory.
        dir: PathBuf,
        /// `read` or `write`.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A state file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A state file that is damaged or belongs to other settings.
    #[error("{path}: {reason}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
}
