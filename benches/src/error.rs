//! What can go wrong while a row is prepared or run.

use camelid_kernels::UnknownDevice;
use camelid_lora::LoraError;
use camelid_model::ModelError;
use camelid_paged_optim::OptimError;
use camelid_quant::QuantError;
use camelid_train::TrainError;

/// A row cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No row has this name.
    #[error("no row is called \"{name}\"; there are {known}")]
    Row {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The row has no such setting.
    #[error("row {row} has no setting \"{setting}\"")]
    Setting {
        /// The row.
        row: &'static str,
        /// What was asked for.
        setting: String,
    },
    /// A sample was asked for before anything was prepared.
    #[error("nothing was prepared under \"{setting}\"")]
    NotPrepared {
        /// What was asked for.
        setting: String,
    },
    /// The trainer's thread ended.
    #[error("training ended: {0}")]
    TrainingEnded(String),
    /// There is no such device.
    #[error(transparent)]
    Device(#[from] UnknownDevice),
    /// The device failed at what it was told.
    #[error("the device failed: {0}")]
    Computation(String),
    /// Quantising failed.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// Attaching adapters failed.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// Making or running the model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The optimizer failed.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A request or an answer could not be read or written.
    #[error("reading a request or writing its answer: {0}")]
    Pipe(#[from] std::io::Error),
    /// A request is not what it should be.
    #[error("a request is not understood: {0}")]
    Request(#[from] serde_json::Error),
}
