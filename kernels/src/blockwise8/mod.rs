//! Dynamic 8-bit blockwise quantisation.
//!
//! As in [`crate::blockwise4`], blocks of consecutive values share a scale, their
//! largest magnitude; each value becomes the index of a 256-entry map. The
//! *dynamic* maps (Dettmers, "8-bit approximations for parallelism in deep
//! learning", 2015; "8-bit optimizers via block-wise quantization", 2022) spend
//! their codes on seven decades, so that small values keep relative precision.
//! They hold optimizer state, and the scales of a doubly quantised 4-bit tensor.
//!
//! ```
//! use camelid_kernels::blockwise4::Rounding;
//! use camelid_kernels::blockwise8::{self, Map8};
//!
//! let values = [0.5f32, -0.001, 0.25, -2.0];
//! let (mut codes, mut absmax) = ([0u8; 4], [0f32; 1]);
//! blockwise8::quantize(Map8::DynamicSigned, 256, Rounding::Cuda, &values, &mut codes, &mut absmax);
//! let mut restored = [0f32; 4];
//! blockwise8::dequantize(Map8::DynamicSigned, 256, &codes, &absmax, &mut restored);
//! assert!((restored[0] - 0.5).abs() < 0.02);
//! assert!((restored[1] + 0.001).abs() < 1e-4);
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(crate) mod cpu;
mod map;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod pieces;
pub mod reference;
mod search;

pub use map::{Map8, Table8};

use crate::blocks::{Rounding, block_count};
use crate::isa::Isa;

/// The block size of optimizer state and of nested scales in bitsandbytes.
pub const BLOCK_SIZE: usize = 256;

/// Quantises a flat run of values, in parallel over blocks.
///
/// Under [`Rounding::Cuda`] the code is the exactly nearest one, a tie going to
/// the lower; an all-zero block gets the code of 0. (bitsandbytes' CUDA search
/// sends an exact tie to the code of even index, and an all-zero block to code 0,
/// which decodes to −0; neither changes a decoded magnitude by more than a tie.)
/// Under [`Rounding::BnbCpu`] it is bitsandbytes' CPU build's, which goes through
/// a 65,536-entry table and is not always the nearest.
///
/// The unsigned map is for values ≥ 0; negative ones become 0 under `Cuda`.
/// Values should be finite, which is for the caller to see to. A NaN goes unnoticed:
/// it is left out of its block's scale and gets code 0 (under `Cuda` the code of 0 where
/// that scale is 0). An infinity makes its block's scale infinite, so that no value of
/// the block decodes to a finite one.
///
/// # Panics
/// If `block_size` is 0, or a length does not fit `values.len()`.
pub fn quantize(
    map: Map8,
    block_size: usize,
    rounding: Rounding,
    values: &[f32],
    codes: &mut [u8],
    absmax: &mut [f32],
) {
    check_lengths(block_size, values.len(), codes.len(), absmax.len());
    cpu::quantize(Isa::active(), map, block_size, rounding, values, codes, absmax);
}

/// Dequantises: `out[i] = table[codes[i]] * absmax[i / block_size]`.
///
/// # Panics
/// If `block_size` is 0, or a length does not fit `out.len()`.
pub fn dequantize(map: Map8, block_size: usize, codes: &[u8], absmax: &[f32], out: &mut [f32]) {
    check_lengths(block_size, out.len(), codes.len(), absmax.len());
    cpu::dequantize(Isa::active(), map, block_size, codes, absmax, out);
}

fn check_lengths(block_size: usize, len: usize, codes: usize, absmax: usize) {
    assert!(block_size > 0, "a block holds at least one value");
    assert_eq!(codes, len, "one code per value");
    assert_eq!(
        absmax,
        block_count(len, block_size),
        "absmax length for {len} values in blocks of {block_size}"
    );
}

#[cfg(test)]
mod tests;
