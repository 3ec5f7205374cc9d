//! `--device`, the same for every command that runs a model.

use anyhow::Result;
use burn::tensor::Device;
use camelid_kernels::{DeviceName, device};

#[derive(clap::Args)]
pub struct DeviceArg {
    /// Device to compute on: flex (this machine's CPU), or cpu, cuda, cuda:1, vulkan where they are
    /// compiled in; CAMELID_DEVICE's unless given
    #[arg(long, value_name = "NAME")]
    device: Option<DeviceName>,
}

impl DeviceArg {
    /// The device that was asked for.
    pub fn open(&self) -> Result<Device> {
        Ok(device(self.device)?)
    }
}
