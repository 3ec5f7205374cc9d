//! What the CubeCL kernels share: the way from tensors to kernel arguments, and a
//! list of every kernel for compiling them where there is no device.

pub(crate) mod buffers;
pub(crate) mod host;
pub(crate) mod product;
pub(crate) mod reduce;
pub(crate) mod sparse_rows;
pub mod specimen;
mod specimens;

pub use specimens::specimens;
