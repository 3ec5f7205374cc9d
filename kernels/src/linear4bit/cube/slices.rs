//! Slices of the two operands on their way into shared memory, the weight dequantised.

use cubecl::prelude::*;

use crate::blockwise4::Packed4Spec;
use crate::blockwise4::cube::{Format, block_scale, nibble, nibble_at};

/// Which product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// `y = x·Wᵀ`: the sum runs over the columns of `W`.
    Forward,
    /// `dx = dy·W`: the sum runs over the rows of `W`.
    Backward,
}

impl Side {
    /// Terms of each sum, and columns of the result.
    pub fn terms_and_width(self, spec: &Packed4Spec) -> (usize, usize) {
        match self {
            Side::Forward => (spec.in_features, spec.out_features),
            Side::Backward => (spec.out_features, spec.in_features),
        }
    }

    /// Rows and columns of the slice of `W` for `cols` columns of the result and `depth` terms.
    pub fn weight_slice(self, cols: usize, depth: usize) -> (usize, usize) {
        match self {
            Side::Forward => (cols, depth),
            Side::Backward => (depth, cols),
        }
    }
}

/// Four values of a row of a matrix, zero beyond its edges.
#[cube]
pub(super) fn four<N: Size>(
    matrix: &[Vector<f32, N>],
    row: u32,
    col: u32,
    rows: u32,
    cols: u32,
) -> Vector<f32, Const<4>> {
    let mut values = Vector::<f32, Const<4>>::new(0.0f32);
    let lanes = N::value().comptime();
    if row < rows {
        if comptime!(lanes == 4) {
            if col < cols {
                let from = matrix[((row * cols + col) / 4) as usize];
                #[unroll]
                for i in 0..4usize {
                    values.insert(i, from.extract(i));
                }
            }
        } else {
            #[unroll]
            for i in 0..4usize {
                let col = col + comptime!(i as u32);
                if col < cols {
                    values.insert(i, matrix[(row * cols + col) as usize].extract(0usize));
                }
            }
        }
    }
    values
}

/// Eight dequantised values of a row of `W`, from a column that is a multiple of eight,
/// zero beyond its edges.
#[cube]
pub(super) fn eight(
    packed: &[u32],
    absmax: &[f32],
    codes: &[u32],
    map: &[f32],
    offset: f32,
    table: &Shared<[f32]>,
    row: u32,
    col: u32,
    out: u32,
    inn: u32,
    #[comptime] aligned: bool,
    #[comptime] format: Format,
) -> (Vector<f32, Const<4>>, Vector<f32, Const<4>>) {
    let mut low = Vector::<f32, Const<4>>::new(0.0f32);
    let mut high = Vector::<f32, Const<4>>::new(0.0f32);
    if row < out && col < inn {
        let first = row * inn + col;
        if comptime!(aligned) {
            let word = packed[(first / 8) as usize];
            let block = (first / comptime!(format.block_size() as u32)) as usize;
            let scale = block_scale(absmax, codes, map, offset, block, format);
            #[unroll]
            for i in 0..4usize {
                low.insert(i, table[nibble(word, comptime!(i as u32)) as usize] * scale);
                high.insert(i, table[nibble(word, comptime!(i as u32 + 4)) as usize] * scale);
            }
        } else {
            #[unroll]
            for i in 0..8usize {
                if col + comptime!(i as u32) < inn {
                    let at = first + comptime!(i as u32);
                    let code = nibble_at(packed[(at / 8) as usize], at % 8);
                    let block = (at / comptime!(format.block_size() as u32)) as usize;
                    let value = table[code as usize] * block_scale(absmax, codes, map, offset, block, format);
                    if comptime!(i < 4) {
                        low.insert(comptime!(i % 4), value);
                    } else {
                        high.insert(comptime!(i % 4), value);
                    }
                }
            }
        }
    }
    (low, high)
}
