//! What the 4-bit and the 8-bit block formats share.

/// Number of blocks, and so of scales, of a run of `len` values.
pub const fn block_count(len: usize, block_size: usize) -> usize {
    len.div_ceil(block_size)
}

/// How a value between two codes is rounded.
///
/// The rules differ in a handful of values per million; both are bitsandbytes'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// The rule of bitsandbytes' CUDA kernels, and this project's default:
    /// multiply by `1 / absmax`, compare with the literals of `dQuantizeNF4` and
    /// `dQuantizeFP4`, ties towards zero for FP4 and to the lower code for NF4.
    ///
    /// An all-zero block gets code 0 throughout, as there (for NF4 that decodes
    /// to −0). One departure: where `absmax` is so small (below 2⁻¹²⁸) that its
    /// reciprocal overflows, values are divided by it instead.
    #[default]
    Cuda,
    /// bitsandbytes 0.50's CPU build, bit for bit: `absmax` below 1e-38 counts as
    /// 1e-38, midpoints computed in f32, ties to the lower value, a partial last
    /// block divided instead of multiplied by the reciprocal, and FP4's zero sign
    /// bit inverted.
    BnbCpu,
}
