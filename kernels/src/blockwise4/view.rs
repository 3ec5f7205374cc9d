//! Borrowed packed tensors and how they are read.

use super::{Code4, cpu};
use crate::blockwise8::Map8;

/// The scales of a packed tensor, as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum AbsmaxView<'a> {
    /// One f32 per block.
    Plain(&'a [f32]),
    /// Double quantisation: one signed dynamic 8-bit code per block.
    Nested {
        /// One code per block.
        codes: &'a [u8],
        /// One scale per `block_size` codes.
        absmax: &'a [f32],
        /// Added to every decoded scale: the mean of the original ones.
        offset: f32,
        /// Codes per nested scale (256 in bitsandbytes).
        block_size: usize,
    },
}

impl AbsmaxView<'_> {
    /// The scale of one block.
    ///
    /// # Panics
    /// If `block` is out of range.
    #[inline]
    pub fn get(&self, block: usize) -> f32 {
        match *self {
            AbsmaxView::Plain(absmax) => absmax[block],
            AbsmaxView::Nested { codes, absmax, offset, block_size } => {
                // Two roundings, as in bitsandbytes: never a fused multiply-add.
                let product =
                    Map8::DynamicSigned.table()[usize::from(codes[block])] * absmax[block / block_size];
                product + offset
            }
        }
    }

    /// Number of blocks described.
    pub fn len(&self) -> usize {
        match self {
            AbsmaxView::Plain(absmax) => absmax.len(),
            AbsmaxView::Nested { codes, .. } => codes.len(),
        }
    }

    /// Whether no block is described.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A packed 4-bit tensor, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Packed4View<'a> {
    /// The code book.
    pub code: Code4,
    /// Values per scale.
    pub block_size: usize,
    /// `(len + 1) / 2` bytes, first code in the high nibble.
    pub packed: &'a [u8],
    /// One scale per block.
    pub absmax: AbsmaxView<'a>,
    /// Number of values.
    pub len: usize,
}

impl Packed4View<'_> {
    /// Dequantises the flat elements `start..start + out.len()` on this thread.
    ///
    /// Any range is right; ranges that start at an even element take the fast path.
    /// Each element is `table[code] * absmax`, rounded once to f32.
    ///
    /// # Panics
    /// If the range ends beyond `len`, or the view's slices are too short for it.
    pub fn dequantize_range(&self, start: usize, out: &mut [f32]) {
        assert!(
            start + out.len() <= self.len,
            "elements {start}..{} of a packed tensor of {}",
            start + out.len(),
            self.len
        );
        cpu::dequantize_range(self, start, out);
    }
}
