//! What can go wrong in a run.

use std::path::{Path, PathBuf};

use camelid_data::DataError;
use camelid_files::FileError;
use camelid_model::ModelError;
use camelid_paged_optim::OptimError;

/// Error of the trainer.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting outside its range.
    #[error("setting `{name}` = {value}: expected {expected}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// A model in which nothing can be trained.
    #[error("no parameter of the model requires a gradient; attach an adapter or unfreeze it")]
    NothingToTrain,
    /// A data set without anything to learn.
    #[error("the training set is empty")]
    EmptyData,
    /// A global batch all of whose labels are ignored.
    #[error("step {step}: no token of the batch carries loss (examples {})", examples.join(", "))]
    NothingSupervised {
        /// The step, from 1.
        step: usize,
        /// Names of the examples.
        examples: Vec<String>,
    },
    /// A loss or gradient of a step that is not a number. The parameters are those of the step
    /// before.
    #[error("the {what} of the step is {value}; nothing was updated")]
    NonFiniteStep {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Index of the micro-batch, where it is known.
        micro_batch: Option<usize>,
    },
    /// A loss or gradient that is not a number, in a run. The parameters are those of the step before.
    #[error(
        "step {step}: the {what} is {value}; stopped before the update. The batch is in {batch}; \
         the last checkpoint is intact"
    )]
    NonFinite {
        /// The step, from 1.
        step: usize,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Where the batch was written.
        batch: PathBuf,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process trains in the run's folder.
    #[error("{}: another process is training in this folder", run.display())]
    Busy {
        /// The run's folder.
        run: PathBuf,
    },
    /// A checkpoint that could not be written. Earlier checkpoints are untouched.
    #[error("checkpoint of step {step} not written: {source}. Earlier checkpoints are intact")]
    Save {
        /// The step.
        step: usize,
        /// Why.
        source: Box<TrainError>,
    },
    /// A checkpoint of something else, or a damaged one.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The optimizer's own error.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// The model's own error: weights that stream could not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The data crate's own error.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Values that cannot be read from the device, or a tensor of an unexpected type.
    #[error("`{name}`: {reason}")]
    Tensor {
        /// Path of the parameter.
        name: String,
        /// Why.
        reason: String,
    },
    /// The handler for Ctrl-C could not be installed.
    #[error("cannot handle Ctrl-C: {0}")]
    CtrlC(#[from] ctrlc::Error),
}

impl TrainError {
    /// Turns a system error on `path` into [`TrainError::File`].
    pub(crate) fn file<'a>(path: &'a Path, what: &'static str) -> impl Fn(std::io::Error) -> TrainError + 'a {
        move |cause| FileError::Io { path: path.to_owned(), action: what, cause }.into()
    }
}
