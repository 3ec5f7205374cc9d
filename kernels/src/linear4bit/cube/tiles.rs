//! `x·Wᵀ` and `dy·W` by tiles that are dequantised into shared memory.
//!
//! A cube makes one tile of the result. Step by step it brings a slice of the left matrix and
//! the same slice of `W` into shared memory, the weight dequantised on its way, and multiplies
//! them: by 4×4 results per unit in f32, or by the tensor cores from bf16 with f32 sums. The
//! slice of `W` lies in shared memory as it does in memory, a run of columns per row; forward,
//! its columns are the sum's, backward its rows.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::batch_specimen;
use super::slices::{Side, eight, four};
use crate::ComputeType;
use crate::blockwise4::Packed4Spec;
use crate::blockwise4::cube::{Format, PackedMatrix, code_table};
use crate::cube::buffers::{scalars, units, vectors};
use crate::cube::product::rounded;
use crate::cube::specimen::{Specimen, Target};

/// Sizes of a tile and how its cube works; all multiples of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tile {
    /// Rows of the result.
    rows: usize,
    /// Columns of the result.
    cols: usize,
    /// Terms of the sum per step.
    depth: usize,
    /// Units of the cube.
    units: usize,
    side: Side,
    /// Whether rows of `W` begin with a word: `in_features` is a multiple of eight.
    aligned: bool,
    compute: ComputeType,
}

impl Tile {
    /// For a device of up to 256 units per cube, and for the CPU runtime with a few.
    fn new(units: usize, side: Side, aligned: bool, compute: ComputeType) -> Self {
        match units {
            256.. => Self { rows: 64, cols: 64, depth: 32, units: 256, side, aligned, compute },
            _ => Self { rows: 16, cols: 32, depth: 32, units: units.min(32), side, aligned, compute },
        }
    }

    /// 4×4 results along a row of the tile.
    fn across(self) -> usize {
        self.cols / 4
    }

    /// 4×4 results along a column of the tile.
    fn down(self) -> usize {
        self.rows / 4
    }

    /// 4×4 results that one unit keeps.
    fn per_unit(self) -> usize {
        self.across() * self.down() / self.units
    }

    /// Rows and columns of the slice of `W`.
    fn weight_rows(self) -> usize {
        self.side.weight_slice(self.cols, self.depth).0
    }

    fn weight_cols(self) -> usize {
        self.side.weight_slice(self.cols, self.depth).1
    }

    /// Vectors of four from one row of the left slice to the next; the odd one keeps rows
    /// in different banks.
    fn left_pitch(self) -> usize {
        self.depth / 4 + 1
    }

    fn weight_pitch(self) -> usize {
        self.weight_cols() / 4 + 1
    }
}

/// Four values as the compute type has them.
#[cube]
fn rounded_four(values: Vector<f32, Const<4>>, #[comptime] compute: ComputeType) -> Vector<f32, Const<4>> {
    if comptime!(compute == ComputeType::Bf16) {
        let mut narrow = Vector::<f32, Const<4>>::empty();
        #[unroll]
        for i in 0..4usize {
            narrow.insert(i, rounded(values.extract(i), compute));
        }
        narrow
    } else {
        values
    }
}

/// In f32, 4×4 results per unit and piece. Forward the four columns of a piece lie a piece's
/// share of the tile apart, so that neighbouring units read neighbouring banks.
#[cube(launch_unchecked)]
fn tiles<N: Size>(
    left: &[Vector<f32, N>],
    packed: &[u32],
    absmax: &[f32],
    codes: &[u32],
    map: &[f32],
    result: &mut [f32],
    offset: f32,
    m: u32,
    out: u32,
    inn: u32,
    #[comptime] tile: Tile,
    #[comptime] format: Format,
) {
    let forward = comptime!(tile.side == Side::Forward);
    let left_pitch = comptime!(tile.left_pitch() as u32);
    let weight_pitch = comptime!(tile.weight_pitch() as u32);
    let across = comptime!(tile.across() as u32);
    let down = comptime!(tile.down() as u32);
    let left_fours = comptime!((tile.depth / 4) as u32);
    let weight_eights = comptime!((tile.weight_cols() / 8) as u32);

    let single = comptime!(tile.per_unit() == 1);
    let table = code_table(format);
    let mut left_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(
        comptime!(tile.rows * tile.left_pitch()),
        16usize,
    );
    let mut weight_tile = Shared::<[Vector<f32, Const<4>>]>::new_aligned_slice(
        comptime!(tile.weight_rows() * tile.weight_pitch()),
        16usize,
    );
    let row0 = CUBE_POS_Y * comptime!(tile.rows as u32);
    let col0 = CUBE_POS_X * comptime!(tile.cols as u32);
    let terms = if forward { inn } else { out };
    let width = if forward { out } else { inn };

    let mut sums = Array::<f32>::new(comptime!(tile.per_unit() * 16));
    for i in 0..comptime!(tile.per_unit() * 16) {
        sums[i] = 0.0;
    }
    for step in range_stepped(0u32, terms, comptime!(tile.depth as u32)) {
        sync_cube();
        for i in range_stepped(UNIT_POS, comptime!(tile.rows as u32) * left_fours, CUBE_DIM) {
            let (row, col) = (i / left_fours, i % left_fours);
            left_tile[(row * left_pitch + col) as usize] =
                rounded_four(four(left, row0 + row, step + col * 4, m, terms), tile.compute);
        }
        for i in range_stepped(UNIT_POS, comptime!(tile.weight_rows() as u32) * weight_eights, CUBE_DIM) {
            let (row, col) = (i / weight_eights, i % weight_eights);
            let from_row = if forward { col0 + row } else { step + row };
            let from_col = if forward { step + col * 8 } else { col0 + col * 8 };
            let (low, high) = eight(
                packed,
                absmax,
                codes,
                map,
                offset,
                &table,
                from_row,
                from_col,
                out,
                inn,
                tile.aligned,
                format,
            );
            weight_tile[(row * weight_pitch + col * 2) as usize] = rounded_four(low, tile.compute);
            weight_tile[(row * weight_pitch + col * 2 + 1) as usize] = rounded_four(high, tile.compute);
        }
        sync_cube();
        #[unroll(single)]
        for piece in 0..comptime!(tile.per_unit()) {
            let at = UNIT_POS + piece as u32 * comptime!(tile.units as u32);
            let (tx, ty) = (at % across, at / across);
            for d in 0..left_fours {
                let mut a = Array::<Vector<f32, Const<4>>>::new(4usize);
                #[unroll]
                for i in 0..4usize {
                    a[i] = left_tile[((ty + comptime!(i as u32) * down) * left_pitch + d) as usize];
                }
                #[unroll]
                for k in 0..4usize {
                    let b = if forward {
                        weight_tile[((tx + comptime!(k as u32) * across) * weight_pitch + d) as usize]
                    } else {
                        weight_tile[((d * 4 + comptime!(k as u32)) * weight_pitch + tx) as usize]
                    };
                    #[unroll]
                    for i in 0..4usize {
                        #[unroll]
                        for e in 0..4usize {
                            // `k` is a column and `e` a term forward, and the other way round backward.
                            let col = comptime!(if forward { k } else { e });
                            let term = comptime!(if forward { e } else { k });
                            let to = piece * 16 + comptime!(i * 4 + col);
                            sums[to] = fma(a[i].extract(term), b.extract(e), sums[to]);
                        }
                    }
                }
            }
        }
    }
    #[unroll(single)]
    for piece in 0..comptime!(tile.per_unit()) {
        let at = UNIT_POS + piece as u32 * comptime!(tile.units as u32);
        let (tx, ty) = (at % across, at / across);
        #[unroll]
        for i in 0..4usize {
            let row = row0 + ty + comptime!(i as u32) * down;
            #[unroll]
            for j in 0..4usize {
                let col = if forward {
                    col0 + tx + comptime!(j as u32) * across
                } else {
                    col0 + tx * 4 + comptime!(j as u32)
                };
                if row < m && col < width {
                    result[(row * width + col) as usize] = sums[piece * 16 + comptime!(i * 4 + j)];
                }
            }
        }
    }
}

/// Launches the product of `left[m, terms]` with `W` or its transpose.
pub(super) fn launch(
    left: &CubeTensor,
    weight: &PackedMatrix,
    result: &CubeTensor,
    m: usize,
    spec: &Packed4Spec,
    side: Side,
    compute: ComputeType,
) {
    let (out, inn) = (spec.out_features, spec.in_features);
    let (terms, width) = side.terms_and_width(spec);
    if m == 0 || width == 0 {
        return;
    }
    let client = &result.client;
    let tile = Tile::new(units(client, 256) as usize, side, inn.is_multiple_of(8), compute);
    let lanes = if terms.is_multiple_of(4) { 4 } else { 1 };
    // SAFETY: the packed arrays were checked against the specification; `left` holds `m` rows of
    // `terms` values and `result` `m` of `width`; the kernel reads zeros beyond and does not write there.
    #[allow(unsafe_code)]
    unsafe {
        tiles::launch_unchecked(
            client,
            CubeCount::Static(width.div_ceil(tile.cols) as u32, m.div_ceil(tile.rows) as u32, 1),
            CubeDim::new_1d(tile.units as u32),
            lanes,
            vectors(left, lanes),
            weight.packed(),
            weight.absmax(),
            weight.codes(),
            weight.map(),
            scalars(result),
            weight.offset,
            m as u32,
            out as u32,
            inn as u32,
            tile,
            weight.format,
        );
    }
}

pub(super) fn specimens() -> Vec<Specimen> {
    fn kernel(target: &Target, side: Side) -> Box<dyn CubeKernel> {
        let tile = Tile::new(256, side, true, ComputeType::F32);
        let format = Format::NF4_NESTED;
        target.build(|s, d, p, b| {
            tiles::Tiles::new(s, d, p, b(), b(), b(), b(), b(), b(), (), (), (), (), 4, tile, format)
        })
    }
    let specimen =
        |name, kernel| batch_specimen(name, (64, 64), CubeDim::new_1d(256), ComputeType::F32, kernel);
    vec![
        specimen("linear4bit forward f32", |target| kernel(target, Side::Forward)),
        specimen("linear4bit input gradient f32", |target| kernel(target, Side::Backward)),
    ]
}
