//! Tiles of the destination: what the micro-kernels of every instruction set compute.

/// What a tile computes: `C[rows, vectors · lanes] (+)= scale · A·B` over `k` words.
///
/// Word `l` of row `i` of `A` is at `a + i·a_row + l·a_step`, row `l` of `B` at
/// `b + l·b_step`, row `i` of `C` at `c + i·c_row`.
pub(super) struct TileTask {
    pub k: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_step: usize,
    pub c: *mut f32,
    pub c_row: usize,
    pub scale: f32,
    pub add: bool,
}

/// Computes a [`TileTask`].
///
/// Each element is one chain of fused multiply-adds in the order of `k`, whatever
/// the tile's size and the element's place in it.
pub(super) type Tile = unsafe fn(&TileTask);

/// `$tile::<rows, vectors>` for each of the numbers of rows and up to the number of vectors, in the
/// order of a kernel's table.
macro_rules! tiles {
    ($tile:ident, 2 vectors, $($rows:literal)*) => {
        [$($tile::<$rows, 1>, $tile::<$rows, 2>),*]
    };
    ($tile:ident, 4 vectors, $($rows:literal)*) => {
        [$($tile::<$rows, 1>, $tile::<$rows, 2>, $tile::<$rows, 3>, $tile::<$rows, 4>),*]
    };
}
pub(super) use tiles;
