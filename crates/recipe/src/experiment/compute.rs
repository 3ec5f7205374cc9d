//! The compute type of a run.

use burn::tensor::Device;
use camelid_kernels::{ComputeType, ProductRates};

use super::{Compute, Experiment};
use crate::RecipeError;

impl Experiment {
    /// Puts what is faster on `device` in the place of `compute = "auto"`, by a measurement, and gives the
    /// rates; `None` where the experiment says its compute type itself.
    ///
    /// A measurement may come out otherwise the next time, and another compute type is another run: do this
    /// once, when the run begins, and save the experiment with it.
    pub fn settle_compute(&mut self, device: &Device) -> Option<ProductRates> {
        if self.model.compute != Compute::Auto {
            return None;
        }
        let rates = ProductRates::measure(device);
        self.model.compute = match rates.fastest() {
            ComputeType::Bf16 => Compute::Bf16,
            _ => Compute::F32,
        };
        Some(rates)
    }

    /// The compute type of the model.
    ///
    /// # Errors
    /// [`RecipeError::Experiment`] while it is `auto`: see [`Self::settle_compute`].
    pub fn compute_type(&self) -> Result<ComputeType, RecipeError> {
        match self.model.compute {
            Compute::F32 => Ok(ComputeType::F32),
            Compute::Bf16 => Ok(ComputeType::Bf16),
            Compute::Auto => Err(RecipeError::Experiment {
                path: self.name.clone().into(),
                line: None,
                reason: "`model.compute = \"auto\"` is not settled: here a run needs \"f32\" or \"bf16\""
                    .into(),
            }),
        }
    }
}
