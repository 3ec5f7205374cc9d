//! The same products on tensor cores: bf16 inputs, f32 sums.
//!
//! A cube of eight planes makes a tile of 128×128 results; each plane keeps 64×32 of them in
//! eight fragments of 16×16. Both slices lie in shared memory in bf16, rows padded by 16 bytes so
//! that a fragment's rows are in different banks. Fragments leave through shared memory, so that
//! edges of any size are cut where they are written.

use burn_cubecl::tensor::CubeTensor;
use cubecl::cmma;
use cubecl::ir::features::Plane;
use cubecl::prelude::*;
use half::bf16;

use super::batch_specimen;
use super::slices::{Side, eight, four};
use crate::ComputeType;
use crate::blockwise4::Packed4Spec;
use crate::blockwise4::cube::{Format, PackedMatrix, code_table};
use crate::cube::buffers::{has_bf16_fragments, scalars, vectors};
use crate::cube::specimen::{Specimen, Target};

/// Rows and columns of a tile, and terms per step.
const TILE: usize = 128;
const DEPTH: usize = 32;
/// Planes of a cube, two by four over the tile.
const PLANES: u32 = 8;
/// Rows and columns of a fragment, and its terms.
const FRAGMENT: usize = 16;
/// Fragments of a plane, down and across.
const DOWN: usize = 4;
const ACROSS: usize = 2;

/// Vectors of eight from one row of a slice of `cols` columns to the next.
const fn pitch(cols: usize) -> usize {
    cols / 8 + 1
}

/// What the kernel is specialised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    side: Side,
    /// Whether rows of `W` begin with a word: `in_features` is a multiple of eight.
    aligned: bool,
}

impl Plan {
    /// Rows and columns of the slice of `W`.
    fn weight_rows(self) -> usize {
        self.side.weight_slice(TILE, DEPTH).0
    }

    fn weight_cols(self) -> usize {
        self.side.weight_slice(TILE, DEPTH).1
    }
}

/// Two vectors of four as one of eight in bf16.
#[cube]
fn narrowed(low: Vector<f32, Const<4>>, high: Vector<f32, Const<4>>) -> Vector<bf16, Const<8>> {
    let mut values = Vector::<bf16, Const<8>>::empty();
    #[unroll]
    for i in 0..4usize {
        values.insert(i, bf16::cast_from(low.extract(i)));
        values.insert(comptime!(i + 4), bf16::cast_from(high.extract(i)));
    }
    values
}

#[cube(launch_unchecked)]
fn tensor_tiles<N: Size>(
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
    #[comptime] plan: Plan,
    #[comptime] format: Format,
) {
    let forward = comptime!(plan.side == Side::Forward);
    let left_pitch = comptime!(pitch(DEPTH));
    let weight_pitch = comptime!(pitch(plan.weight_cols()));
    let left_eights = comptime!((DEPTH / 8) as u32);
    let weight_eights = comptime!((plan.weight_cols() / 8) as u32);

    let table = code_table(format);
    let mut left_tile =
        Shared::<[Vector<bf16, Const<8>>]>::new_aligned_slice(comptime!(TILE * pitch(DEPTH)), 32usize);
    let mut weight_tile = Shared::<[Vector<bf16, Const<8>>]>::new_aligned_slice(
        comptime!(plan.weight_rows() * pitch(plan.weight_cols())),
        32usize,
    );
    let mut leaving =
        Shared::<[f32]>::new_aligned_slice(comptime!(PLANES as usize * FRAGMENT * FRAGMENT), 32usize);
    let row0 = CUBE_POS_Y * comptime!(TILE as u32);
    let col0 = CUBE_POS_X * comptime!(TILE as u32);
    let plane_row = (UNIT_POS_Y / 4) as usize * comptime!(DOWN * FRAGMENT);
    let plane_col = (UNIT_POS_Y % 4) as usize * comptime!(ACROSS * FRAGMENT);
    let terms = if forward { inn } else { out };
    let width = if forward { out } else { inn };

    let mut sums = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(DOWN * ACROSS) {
        sums.push(cmma::Matrix::<f32>::from_value(
            cmma::MatrixIdent::Accumulator,
            FRAGMENT,
            FRAGMENT,
            FRAGMENT,
            cmma::MatrixLayout::Undefined,
            0.0,
        ));
    }
    for step in range_stepped(0u32, terms, comptime!(DEPTH as u32)) {
        sync_cube();
        for i in range_stepped(UNIT_POS, comptime!((TILE * DEPTH / 8) as u32), CUBE_DIM) {
            let (row, col) = (i / left_eights, i % left_eights);
            let low = four(left, row0 + row, step + col * 8, m, terms);
            let high = four(left, row0 + row, step + col * 8 + 4, m, terms);
            left_tile[row as usize * left_pitch + col as usize] = narrowed(low, high);
        }
        for i in range_stepped(UNIT_POS, comptime!((TILE * DEPTH / 8) as u32), CUBE_DIM) {
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
                plan.aligned,
                format,
            );
            weight_tile[row as usize * weight_pitch + col as usize] = narrowed(low, high);
        }
        sync_cube();
        #[unroll]
        for k in 0..comptime!(DEPTH / FRAGMENT) {
            let mut rights = Sequence::<cmma::Matrix<Vector<bf16, Const<8>>>>::new();
            #[unroll]
            for j in 0..comptime!(ACROSS) {
                let col = plane_col + comptime!(j * FRAGMENT);
                // Forward a column of the product is a row of the slice, backward it is a column.
                let from = if forward {
                    col * weight_pitch + comptime!(k * FRAGMENT / 8)
                } else {
                    comptime!(k * FRAGMENT) * weight_pitch + col / 8
                };
                let end = weight_tile.len();
                rights.push(cmma::Matrix::<Vector<bf16, Const<8>>>::from_slice(
                    cmma::MatrixIdent::B,
                    FRAGMENT,
                    FRAGMENT,
                    FRAGMENT,
                    comptime!(if forward {
                        cmma::MatrixLayout::ColMajor
                    } else {
                        cmma::MatrixLayout::RowMajor
                    }),
                    &weight_tile[from..end],
                    comptime!((pitch(plan.weight_cols()) * 8) as u32),
                ));
            }
            #[unroll]
            for i in 0..comptime!(DOWN) {
                let from = (plane_row + comptime!(i * FRAGMENT)) * left_pitch + comptime!(k * FRAGMENT / 8);
                let end = left_tile.len();
                let left = cmma::Matrix::<Vector<bf16, Const<8>>>::from_slice(
                    cmma::MatrixIdent::A,
                    FRAGMENT,
                    FRAGMENT,
                    FRAGMENT,
                    cmma::MatrixLayout::RowMajor,
                    &left_tile[from..end],
                    comptime!((pitch(DEPTH) * 8) as u32),
                );
                #[unroll]
                for j in 0..comptime!(ACROSS) {
                    let sum = sums.index(comptime!(i * ACROSS + j));
                    cmma::execute(&left, rights.index(j), sum, sum);
                }
            }
        }
    }

    let own = UNIT_POS_Y as usize * comptime!(FRAGMENT * FRAGMENT);
    #[unroll]
    for i in 0..comptime!(DOWN) {
        #[unroll]
        for j in 0..comptime!(ACROSS) {
            let sum = sums.index(comptime!(i * ACROSS + j));
            cmma::store(
                &mut leaving[own..own + comptime!(FRAGMENT * FRAGMENT)],
                sum,
                comptime!(FRAGMENT as u32),
                cmma::MatrixLayout::RowMajor,
            );
            sync_plane();
            for at in range_stepped(UNIT_POS_X, comptime!((FRAGMENT * FRAGMENT) as u32), CUBE_DIM_X) {
                let row =
                    row0 + (plane_row + comptime!(i * FRAGMENT)) as u32 + at / comptime!(FRAGMENT as u32);
                let col =
                    col0 + (plane_col + comptime!(j * FRAGMENT)) as u32 + at % comptime!(FRAGMENT as u32);
                if row < m && col < width {
                    result[(row * width + col) as usize] = leaving[own + at as usize];
                }
            }
            sync_plane();
        }
    }
}

/// Whether the device has the fragments, and planes of 32 that synchronise.
pub(super) fn supported(like: &CubeTensor) -> bool {
    let properties = like.client.properties();
    let hardware = &properties.hardware;
    (hardware.plane_size_min, hardware.plane_size_max) == (32, 32)
        && hardware.max_units_per_cube >= 32 * PLANES
        && properties.features.plane.contains(Plane::Sync)
        && has_bf16_fragments(like)
}

/// Launches the product of `left[m, terms]` with `W` or its transpose, on a device that is [`supported`].
pub(super) fn launch(
    left: &CubeTensor,
    weight: &PackedMatrix,
    result: &CubeTensor,
    m: usize,
    spec: &Packed4Spec,
    side: Side,
) {
    let (out, inn) = (spec.out_features, spec.in_features);
    let (terms, width) = side.terms_and_width(spec);
    if m == 0 || width == 0 {
        return;
    }
    let client = &result.client;
    let plan = Plan { side, aligned: inn.is_multiple_of(8) };
    let lanes = if terms.is_multiple_of(4) { 4 } else { 1 };
    // SAFETY: the packed arrays were checked against the specification; `left` holds `m` rows of
    // `terms` values and `result` `m` of `width`; the kernel reads zeros beyond and does not write there.
    #[allow(unsafe_code)]
    unsafe {
        tensor_tiles::launch_unchecked(
            client,
            CubeCount::Static(width.div_ceil(TILE) as u32, m.div_ceil(TILE) as u32, 1),
            CubeDim::new_2d(32, PLANES),
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
            plan,
            weight.format,
        );
    }
}

pub(super) fn specimens() -> Vec<Specimen> {
    fn kernel(target: &Target, side: Side) -> Box<dyn CubeKernel> {
        let plan = Plan { side, aligned: true };
        let format = Format::NF4_NESTED;
        target.build(|s, d, p, b| {
            tensor_tiles::TensorTiles::new(
                s,
                d,
                p,
                b(),
                b(),
                b(),
                b(),
                b(),
                b(),
                (),
                (),
                (),
                (),
                4,
                plan,
                format,
            )
        })
    }
    let cube_dim = CubeDim::new_2d(32, PLANES);
    let specimen = |name, kernel| batch_specimen(name, (TILE, TILE), cube_dim, ComputeType::Bf16, kernel);
    vec![
        specimen("linear4bit forward bf16", |target| kernel(target, Side::Forward)),
        specimen("linear4bit input gradient bf16", |target| kernel(target, Side::Backward)),
    ]
}
