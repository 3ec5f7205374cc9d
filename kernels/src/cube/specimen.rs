//! A kernel at a stated shape, to be compiled and weighed without a device.

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
    /// A kernel for this target: `new` is its constructor, which takes the settings of an unchecked
    /// launch with 32-bit addresses (as the operations launch), the device's properties, the
    /// compilation target, and then an argument for each parameter of the kernel. The function
    /// that `new` gets last makes the argument of a buffer; that of a scalar is `()`.
    pub(crate) fn build<K: CubeKernel + 'static>(
        &self,
        new: impl FnOnce(
            KernelSettings,
            Arc<DeviceProperties>,
            Arc<TargetProperties>,
            fn() -> BufferCompilationArg,
        ) -> K,
    ) -> Box<dyn CubeKernel> {
        let settings = KernelSettings::new(*self.cube_dim, ExecutionMode::Unchecked, AddressType::U32);
        let buffer = || BufferCompilationArg { inplace: None };
        Box::new(new(settings, self.device.clone(), Arc::new(TargetProperties::default()), buffer))
    }
}
