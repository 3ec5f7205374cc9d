//! The device that programs compute on: its names, and the one way to open it.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// Environment variable that names the device where no option does.
pub const DEVICE_VARIABLE: &str = "CAMELID_DEVICE";

/// A device by name, as options, experiments and `CAMELID_DEVICE` write it: `flex`, `cpu`, `cuda`
/// (or `cuda:1` for the second one) or `vulkan`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// This machine's CPU, in plain Rust; every build has it.
    #[default]
    Flex,
    /// CubeCL's CPU runtime, with the cargo feature `cube-cpu`.
    Cpu,
    /// A CUDA device by its index, with the cargo feature `cuda`.
    Cuda(usize),
    /// The best Vulkan device, with the cargo feature `vulkan`.
    Vulkan,
}

impl DeviceName {
    /// What `CAMELID_DEVICE` names, `flex` where it is not set.
    ///
    /// # Errors
    /// [`UnknownDevice`] when it names none.
    pub fn from_environment() -> Result<Self, UnknownDevice> {
        match std::env::var_os(DEVICE_VARIABLE) {
            None => Ok(Self::default()),
            Some(name) => name
                .to_string_lossy()
                .parse()
                .map_err(|error: UnknownDevice| UnknownDevice { from_environment: true, ..error }),
        }
    }

    /// Whether this build has it; what it runs on may lack it all the same.
    pub fn is_built(self) -> bool {
        match self {
            Self::Flex => true,
            Self::Cpu => cfg!(feature = "cube-cpu"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
            Self::Vulkan => cfg!(feature = "vulkan"),
        }
    }

    /// The device.
    ///
    /// # Errors
    /// [`UnknownDevice`] when this build lacks it.
    pub fn open(self) -> Result<Device, UnknownDevice> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "cube-cpu")]
            Self::Cpu => Ok(Device::cpu()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(Device::cuda(index)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(all(feature = "cube-cpu", feature = "cuda", feature = "vulkan")))]
            absent => Err(UnknownDevice { name: absent.to_string(), from_environment: false }),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => f.write_str("flex"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan => f.write_str("vulkan"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice { name: name.to_owned(), from_environment: false };
        match name {
            "flex" => Ok(Self::Flex),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "vulkan" => Ok(Self::Vulkan),
            _ => {
                let index = name.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(Self::Cuda).ok_or_else(unknown)
            }
        }
    }
}

/// The device of this name; without one that of `CAMELID_DEVICE`, `flex` where that is not set.
///
/// # Errors
/// [`UnknownDevice`] when there is no such device, or this build lacks it.
pub fn device(name: Option<DeviceName>) -> Result<Device, UnknownDevice> {
    match name {
        Some(name) => name.open(),
        None => DeviceName::from_environment()?
            .open()
            .map_err(|error| UnknownDevice { from_environment: true, ..error }),
    }
}

/// [`device`] without a name: what `CAMELID_DEVICE` says.
///
/// # Errors
/// As [`device`].
pub fn device_from_environment() -> Result<Device, UnknownDevice> {
    device(None)
}

/// What a report calls the device that a program ran on, such as `flex (CPU)`. Tracking gradients
/// makes no other device of it.
pub fn device_label(device: &Device) -> String {
    if *device == Device::flex() {
        return "flex (CPU)".to_owned();
    }
    #[cfg(feature = "cube-cpu")]
    if *device == Device::cpu() {
        return "cpu (CubeCL)".to_owned();
    }
    // `Device<Cube(…)>`: what the runtime calls it.
    let shown = format!("{:?}", device.clone().inner());
    shown.strip_prefix("Device<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(&shown).to_owned()
}

/// A name that is no device's, or that of a device that this build lacks.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}`{name}` is no device of this build: it knows {}", if *from_environment { "CAMELID_DEVICE: " } else { "" },
    known()
)]
pub struct UnknownDevice {
    /// The name.
    pub name: String,
    /// Whether it stands in `CAMELID_DEVICE`.
    pub from_environment: bool,
}

/// The names that this build knows, and what the others need.
fn known() -> String {
    let mut known = vec!["flex"];
    let mut absent = Vec::new();
    for (name, feature, device) in [
        ("cpu", "cube-cpu", DeviceName::Cpu),
        ("cuda", "cuda", DeviceName::Cuda(0)),
        ("vulkan", "vulkan", DeviceName::Vulkan),
    ] {
        if device.is_built() {
            known.push(name);
        } else {
            absent.push(format!("{name} (cargo feature {feature})"));
        }
    }
    match absent.is_empty() {
        true => known.join(", "),
        false => format!("{}; others must be compiled in: {}", known.join(", "), absent.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in
            [DeviceName::Flex, DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Cuda(3), DeviceName::Vulkan]
        {
            assert_eq!(name.to_string().parse::<DeviceName>().unwrap(), name);
        }
        assert_eq!("cuda:0".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "Flex"] {
            let said = wrong.parse::<DeviceName>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{wrong}`")) && said.contains("it knows flex"), "{said}");
        }
    }

    #[test]
    fn what_ran_is_named_with_gradients_or_without() {
        let flex = device(Some(DeviceName::Flex)).unwrap();
        assert_eq!(device_label(&flex), "flex (CPU)");
        assert_eq!(device_label(&flex.autodiff()), "flex (CPU)");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_compiled_in_says_how_to_have_it() {
        let said = device(Some(DeviceName::Cuda(1))).unwrap_err().to_string();
        assert!(said.contains("`cuda:1`") && said.contains("cuda (cargo feature cuda)"), "{said}");
    }
}
