//! What a run of a recipe is told.

use std::path::PathBuf;

use camelid_data::catalogue::FetchOptions;
use camelid_kernels::{DeviceName, UnknownDevice, device};

/// Options of a run, whoever reads them from wherever.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Name of the scale.
    pub scale: String,
    /// Seeds per arm; `None` for the recipe's own choice.
    pub seeds: Option<u64>,
    /// Where runs are kept.
    pub runs: PathBuf,
    /// How names of the catalogue are fetched.
    pub fetch: FetchOptions,
    /// The device; `None` for that of the environment.
    pub device: Option<DeviceName>,
    /// Whether to start over instead of reusing finished arms.
    pub fresh: bool,
}

impl RunOptions {
    /// The device to compute on.
    ///
    /// # Errors
    /// When this build does not have it.
    pub fn device(&self) -> Result<burn::tensor::Device, UnknownDevice> {
        device(self.device)
    }
}
