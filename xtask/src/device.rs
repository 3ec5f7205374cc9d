//! The device that recipes run on.

use anyhow::bail;
use burn::tensor::Device;

/// `flex`, this machine's CPU, unless `CAMELID_DEVICE` names a device that was compiled in:
/// `cpu` (CubeCL's CPU runtime), `cuda` or `vulkan`, each with the cargo feature of the name
/// (`cube-cpu` for `cpu`).
pub fn device() -> anyhow::Result<Device> {
    Ok(match std::env::var("CAMELID_DEVICE").as_deref() {
        Err(_) | Ok("flex") => Device::flex(),
        #[cfg(feature = "cube-cpu")]
        Ok("cpu") => Device::cpu(),
        #[cfg(feature = "cuda")]
        Ok("cuda") => Device::cuda(0),
        #[cfg(feature = "vulkan")]
        Ok("vulkan") => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        Ok(other) => bail!(
            "CAMELID_DEVICE is `{other}`: this build knows flex, and with the cargo features cube-cpu, cuda \
             and vulkan also cpu, cuda and vulkan"
        ),
    })
}
