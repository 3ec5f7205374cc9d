//! What a tile of the product is asked with.

use super::spec::{INT8_BLOCK, Layout};

/// A block of a row of `x`.
pub(super) type Codes = [i8; INT8_BLOCK];

/// What the kernels need of a block of a row of `x`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct BlockStats {
    /// What its codes are multiplied with.
    pub scale: f32,
    /// What an integer sum starts at: it takes the offset of the stored weights back.
    pub start: i32,
    /// The sum of the block's values, for weights with minima.
    pub sum: f32,
}

// SAFETY: three words without gaps, for which any bits will do.
#[allow(unsafe_code)]
unsafe impl bytemuck::Zeroable for BlockStats {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl bytemuck::Pod for BlockStats {}

/// A panel of the weight, and the rows of `x` to multiply it with.
pub(super) struct TileTask<'a> {
    pub panel: &'a [u8],
    pub layout: Layout,
    /// What 4-bit codes stand for, as stored.
    pub table: &'a [u8; 16],
    pub blocks: usize,
    /// Rows of `x`, whose blocks the slices below hold one row after the other.
    pub rows: usize,
    pub x: &'a [Codes],
    pub stats: &'a [BlockStats],
}
