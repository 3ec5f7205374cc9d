//! Every kernel at a stated shape, to be compiled and weighed without a device.

use std::sync::Arc;

use cubecl::ir::{AddressType, DeviceProperties, TargetProperties};
use cubecl::prelude::*;

/// A kernel at one shape: how to compile it, and its work on paper.
pub struct Specimen {
    /// The operation and the step of it, such as `linear4bit forward`.
    pub name: &'static str,
    /// The shape that `cubes`, `bytes` and `operations` are those of.
    pub shape: &'static str,
    /// Units of a cube; threads of a block in CUDA's words.
    pub cube_dim: CubeDim,
    /// Cubes of a launch at the shape.
    pub cubes: usize,
    /// Bytes read and written at the shape, each value once.
    pub bytes: f64,
    /// Floating-point operations at the shape.
    pub operations: f64,
    /// Whether the operations run on the tensor cores.
    pub tensor_cores: bool,
    /// Builds the kernel for a device.
    pub kernel: fn(&Target) -> Box<dyn CubeKernel>,
}

/// What a kernel is built for.
pub struct Target {
    /// Threads of a block.
    pub cube_dim: CubeDim,
    /// The device's properties, made by hand where there is none.
    pub device: Arc<DeviceProperties>,
}

impl Target {
    /// The settings of an unchecked launch with 32-bit addresses, as the operations launch.
    pub fn settings(&self) -> KernelSettings {
        KernelSettings::new(*self.cube_dim, ExecutionMode::Unchecked, AddressType::U32)
    }

    /// The device's properties, as a kernel's constructor takes them.
    pub fn device(&self) -> Arc<DeviceProperties> {
        self.device.clone()
    }

    /// The compilation target, as a kernel's constructor takes it.
    pub fn target(&self) -> Arc<TargetProperties> {
        Arc::new(TargetProperties::default())
    }

    /// A buffer argument, as a kernel's constructor takes it.
    pub fn buffer(&self) -> BufferCompilationArg {
        BufferCompilationArg { inplace: None }
    }
}

/// Every kernel of the crate.
pub fn specimens() -> Vec<Specimen> {
    [
        crate::blockwise4::cube::specimens(),
        crate::linear4bit::cube::specimens(),
        crate::cube::product::specimens(),
        crate::rms_norm::cube::specimens(),
        crate::swiglu::cube::specimens(),
        crate::rotary::cube::specimens(),
        crate::linear_cross_entropy::cube::specimens(),
        crate::causal_attention::cube::specimens(),
        crate::adamw::cube::specimens(),
        crate::cube::sparse_rows::specimens(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
