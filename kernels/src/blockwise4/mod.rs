//! 4-bit block formats: NF4, FP4 and INT4.
//!
//! A tensor is read as one flat row-major run of values. Every `block_size`
//! consecutive values share one scale, their largest magnitude (`absmax`); each
//! value is stored as the 4-bit index of the table entry nearest to
//! `value / absmax`. Two indices share a byte, the first in the high nibble.
//! Blocks take no notice of rows: a row need not be a multiple of `block_size`.
//!
//! The format and both rounding rules are bitsandbytes' (`quantize_4bit`),
//! introduced in section 3 of QLoRA (Dettmers et al., 2023).
//!
//! ```
//! use camelid_kernels::blockwise4::{self, AbsmaxView, Code4, Packed4View, Rounding};
//!
//! let values: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) / 10.0).collect();
//! let mut packed = vec![0u8; blockwise4::packed_len(values.len())];
//! let mut absmax = vec![0f32; blockwise4::block_count(values.len(), 64)];
//! blockwise4::quantize(Code4::Nf4, 64, Rounding::Cuda, &values, &mut packed, &mut absmax);
//!
//! let view = Packed4View {
//!     code: Code4::Nf4,
//!     block_size: 64,
//!     packed: &packed,
//!     absmax: AbsmaxView::Plain(&absmax),
//!     len: values.len(),
//! };
//! let mut restored = vec![0f32; 64];
//! view.dequantize_range(0, &mut restored);
//! assert_eq!(restored[63], 3.15); // the largest magnitude is kept exactly
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
pub(crate) mod book_neon;
mod code;
pub(crate) mod cpu;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod float;
#[cfg(target_arch = "aarch64")]
mod neon;
mod nibbles;
#[cfg(feature = "burn")]
mod op;
pub mod reference;
mod spec;
mod view;
mod walk;

pub use code::Code4;
pub use float::Float;
pub use nibbles::{pack, unpack};
#[cfg(feature = "burn")]
pub use op::{Blockwise4Op, dequantize_tensor, nest_scales_tensor, quantize_tensor};
pub use spec::{NestedSpec, Packed4Spec};
pub use view::{AbsmaxView, Packed4View};

pub use crate::blocks::{Rounding, block_count};
pub(crate) use code::Decision;

use crate::fresh::{overwritten, vec_filled};
use crate::isa::Isa;

/// The block sizes that bitsandbytes knows: powers of two from 32 to 4096.
pub const BLOCK_SIZES: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Bytes that `len` 4-bit codes take: two per byte, an odd last one alone.
pub const fn packed_len(len: usize) -> usize {
    len.div_ceil(2)
}

/// Quantises a flat run of values, in parallel over blocks.
///
/// The last block may be partial. When `values.len()` is odd the spare low nibble
/// holds the code of 0. The result does not depend on the number of threads, and
/// is that of [`reference::quantize`] bit for bit.
///
/// Non-finite values poison their own block only: its `absmax` becomes infinite
/// or NaN. Callers that must not let them through check first (`camelid-quant`
/// does).
///
/// # Panics
/// If `block_size` is not one of [`BLOCK_SIZES`], `packed` is not
/// [`packed_len`]`(values.len())` long, or `absmax` not [`block_count`] long.
pub fn quantize(
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    packed: &mut [u8],
    absmax: &mut [f32],
) {
    check_lengths(block_size, values.len(), packed.len(), absmax.len());
    cpu::quantize(
        Isa::active(),
        code,
        block_size,
        rounding,
        values,
        overwritten(packed),
        overwritten(absmax),
    );
}

/// As [`quantize`], of f32, f16 or bf16 values (widened block by block, which is exact), into
/// fresh buffers: `(packed, absmax)`. A scale is finite exactly where its block's values are.
///
/// # Panics
/// If `block_size` is not one of [`BLOCK_SIZES`].
pub fn quantized<T: Float>(
    code: Code4,
    block_size: usize,
    rounding: Rounding,
    values: &[T],
) -> (Vec<u8>, Vec<f32>) {
    let (bytes, blocks) = (packed_len(values.len()), block_count(values.len(), block_size.max(1)));
    check_lengths(block_size, values.len(), bytes, blocks);
    let mut absmax = Vec::new();
    #[allow(unsafe_code)]
    // SAFETY: `quantize` writes every byte and every scale: their lengths are those of the values.
    let packed = unsafe {
        vec_filled(bytes, |packed| {
            absmax = vec_filled(blocks, |absmax| {
                cpu::quantize(Isa::active(), code, block_size, rounding, values, packed, absmax);
            });
        })
    };
    (packed, absmax)
}

/// Dequantises a whole run in parallel; see [`Packed4View::dequantize_range`].
///
/// # Panics
/// If `out.len()` differs from `view.len`, or the view's slices are too short.
pub fn dequantize<T: Float>(view: &Packed4View<'_>, out: &mut [T]) {
    assert_eq!(out.len(), view.len, "dequantize needs an output of the view's length");
    cpu::dequantize(Isa::active(), view, overwritten(out));
}

/// As [`dequantize`], into a fresh buffer.
///
/// # Panics
/// If the view's slices are too short.
pub fn dequantized<T: Float>(view: &Packed4View<'_>) -> Vec<T> {
    #[allow(unsafe_code)]
    // SAFETY: `dequantize` writes every element.
    unsafe {
        vec_filled(view.len, |out| cpu::dequantize(Isa::active(), view, out))
    }
}

fn check_lengths(block_size: usize, len: usize, packed: usize, absmax: usize) {
    assert!(
        BLOCK_SIZES.contains(&block_size),
        "block size {block_size} is not a power of two from 32 to 4096"
    );
    assert_eq!(packed, packed_len(len), "packed length for {len} values");
    assert_eq!(
        absmax,
        block_count(len, block_size),
        "absmax length for {len} values in blocks of {block_size}"
    );
}

#[cfg(test)]
mod tests;
