//! The device that is measured.

use burn::tensor::Device;

use crate::BenchError;

/// The CPU, unless `CAMELID_DEVICE` names another device.
///
/// # Errors
/// [`BenchError::Device`] when this build has no device of the name.
pub fn device() -> Result<Device, BenchError> {
    Ok(camelid_kernels::device_from_environment()?)
}

/// Waits until the device has done what it was told: a GPU still computes when a call returns.
///
/// # Errors
/// [`BenchError::Computation`] when a computation failed meanwhile.
pub fn finish(device: &Device) -> Result<(), BenchError> {
    device.sync().map_err(|error| BenchError::Computation(error.to_string()))
}
