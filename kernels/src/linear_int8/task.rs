//! What a tile of the product is asked with.

use super::spec::Layout;

/// A panel of the weight, and the rows of `x` to multiply it with.
pub(super) struct TileTask<'a> {
    pub panel: &'a [u8],
    pub layout: Layout,
    /// What 4-bit codes stand for, as stored.
    pub table: &'a [u8; 16],
    pub blocks: usize,
    /// Rows of `x`, which the slices below hold one after the other.
    pub rows: usize,
    pub x: &'a [i8],
    pub scales: &'a [f32],
    pub starts: &'a [i32],
    pub sums: &'a [f32],
}
