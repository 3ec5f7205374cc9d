//! The device that programs compute on.

use burn::tensor::Device;

/// Environment variable that names the device.
pub const DEVICE_VARIABLE: &str = "CAMELID_DEVICE";

/// `flex`, this machine's CPU, unless `CAMELID_DEVICE` names a device that was compiled in:
/// `cpu` (CubeCL's CPU runtime), `cuda` or `vulkan`, each with the cargo feature of the name
/// (`cube-cpu` for `cpu`).
///
/// # Errors
/// [`UnknownDevice`] when this build has no device of the name.
pub fn device_from_environment() -> Result<Device, UnknownDevice> {
    let Some(name) = std::env::var_os(DEVICE_VARIABLE) else { return Ok(Device::flex()) };
    match name.to_str() {
        Some("flex") => Ok(Device::flex()),
        #[cfg(feature = "cube-cpu")]
        Some("cpu") => Ok(Device::cpu()),
        #[cfg(feature = "cuda")]
        Some("cuda") => Ok(Device::cuda(0)),
        #[cfg(feature = "vulkan")]
        Some("vulkan") => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        _ => Err(UnknownDevice { name: name.to_string_lossy().into_owned() }),
    }
}

/// `CAMELID_DEVICE` names a device that this build does not have.
#[derive(Debug, thiserror::Error)]
#[error(
    "{DEVICE_VARIABLE} is `{name}`: this build knows flex, and with the cargo features cube-cpu, cuda and \
     vulkan also cpu, cuda and vulkan"
)]
pub struct UnknownDevice {
    /// What it names.
    pub name: String,
}
