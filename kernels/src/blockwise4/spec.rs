//! The description of a packed matrix that travels beside its bytes.

use super::{Code4, block_count, packed_len};
use crate::blockwise8::Table8;

/// What the bytes of a packed `[out_features, in_features]` matrix mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Packed4Spec {
    /// The code book.
    pub code: Code4,
    /// Rows of the matrix.
    pub out_features: usize,
    /// Columns of the matrix.
    pub in_features: usize,
    /// Values per scale, over the flat row-major run; rows need not be multiples.
    pub block_size: usize,
    /// Present when the scales themselves are quantised to 8 bits.
    pub nested: Option<NestedSpec>,
}

/// Double quantisation: how the 8-bit scales of a packed matrix decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NestedSpec {
    /// Scales per nested scale (256 in bitsandbytes).
    pub block_size: usize,
    /// The mean that was taken off every scale before quantising it.
    pub offset: f32,
    /// What the 8-bit codes stand for: the signed dynamic map, to the last bits of whoever
    /// made the file.
    pub table: Table8,
}

impl Packed4Spec {
    /// Number of values in the matrix.
    pub fn len(&self) -> usize {
        self.out_features * self.in_features
    }

    /// Whether the matrix has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of packed codes.
    pub fn packed_len(&self) -> usize {
        packed_len(self.len())
    }

    /// Number of blocks, and so of scales (f32 or nested 8-bit).
    pub fn block_count(&self) -> usize {
        block_count(self.len(), self.block_size)
    }

    /// Length of the f32 `absmax` array: one per block, or with double
    /// quantisation one per nested block.
    pub fn absmax_len(&self) -> usize {
        match self.nested {
            None => self.block_count(),
            Some(nested) => block_count(self.block_count(), nested.block_size),
        }
    }

    /// Asserts that arrays of these lengths are those of a matrix of this description.
    pub(crate) fn check_lengths(&self, packed: usize, absmax: usize, absmax_codes: usize) {
        assert_eq!(packed, self.packed_len(), "bytes of packed codes");
        assert_eq!(absmax, self.absmax_len(), "number of f32 scales");
        if self.nested.is_some() {
            assert_eq!(absmax_codes, self.block_count(), "number of 8-bit scales");
        }
    }
}
