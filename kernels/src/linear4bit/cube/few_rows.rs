//! `y = x·Wᵀ` for one to four rows of `x`: the packed weight is read once, at memory speed.
//!
//! A group of units, a plane where there are planes, takes four rows of `W` and strides over
//! their words together, so that its loads are contiguous and four are under way at a time; the
//! eight values of `x` that it reads for a word serve all four rows. The sums of the group's
//! units are added up in a fixed order.

use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::features::Plane;
use cubecl::prelude::*;

use crate::blockwise4::Packed4Spec;
use crate::blockwise4::cube::{Format, PackedMatrix, block_scale, code_table, nibble};
use crate::cube::buffers::{cubes, scalars, units, vectors};
use crate::cube::specimen::Specimen;

/// Rows of `W` of one group.
const ROWS: usize = 4;
/// Groups of a cube.
const GROUPS: u32 = 4;

/// How the units of a cube are put to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Grouping {
    /// Units of a group.
    lanes: usize,
    /// Groups of a cube.
    groups: usize,
    /// Whether a group is a plane, which adds up without shared memory.
    planes: bool,
}

#[cube(launch_unchecked)]
fn few_rows(
    x: &[Vector<f32, Const<4>>],
    packed: &[u32],
    absmax: &[f32],
    codes: &[u32],
    map: &[f32],
    y: &mut [f32],
    offset: f32,
    out: u32,
    row_words: u32,
    #[comptime] m: usize,
    #[comptime] grouping: Grouping,
    #[comptime] format: Format,
) {
    let table = code_table(format);
    sync_cube();
    let lane = UNIT_POS_X;
    let first = (CUBE_POS as u32 * comptime!(grouping.groups as u32) + UNIT_POS_Y) * comptime!(ROWS as u32);
    let mut sums = Array::<f32>::new(comptime!(ROWS * m));
    #[unroll]
    for i in 0..comptime!(ROWS * m) {
        sums[i] = 0.0;
    }
    for word in range_stepped(lane, row_words, comptime!(grouping.lanes as u32)) {
        #[unroll]
        for r in 0..comptime!(ROWS) {
            let row = first + comptime!(r as u32);
            if row < out {
                let at = (row * row_words + word) as usize;
                let bits = packed[at];
                let scale =
                    block_scale(absmax, codes, map, offset, at / comptime!(format.words_per_block()), format);
                let mut low = Vector::<f32, Const<4>>::empty();
                let mut high = Vector::<f32, Const<4>>::empty();
                #[unroll]
                for i in 0..4usize {
                    low.insert(i, table[nibble(bits, comptime!(i as u32)) as usize] * scale);
                    high.insert(i, table[nibble(bits, comptime!(i as u32 + 4)) as usize] * scale);
                }
                #[unroll]
                for j in 0..m {
                    let from = ((comptime!(j as u32) * row_words + word) * 2) as usize;
                    let products = low * x[from] + high * x[from + 1];
                    sums[comptime!(r * m + j)] += products.extract(0usize)
                        + products.extract(1usize)
                        + products.extract(2usize)
                        + products.extract(3usize);
                }
            }
        }
    }
    if comptime!(grouping.planes) {
        #[unroll]
        for r in 0..comptime!(ROWS) {
            let row = first + comptime!(r as u32);
            #[unroll]
            for j in 0..m {
                let sum = plane_sum(sums[comptime!(r * m + j)]);
                if lane == 0 && row < out {
                    y[(comptime!(j as u32) * out + row) as usize] = sum;
                }
            }
        }
    } else {
        let mut partial = Shared::<[f32]>::new_slice(comptime!(grouping.groups * grouping.lanes * ROWS * m));
        #[unroll]
        for i in 0..comptime!(ROWS * m) {
            partial[(UNIT_POS as usize) * comptime!(ROWS * m) + i] = sums[i];
        }
        sync_cube();
        for i in range_stepped(lane, comptime!((ROWS * m) as u32), comptime!(grouping.lanes as u32)) {
            let mut sum = 0.0f32;
            for other in 0..comptime!(grouping.lanes as u32) {
                let unit = UNIT_POS_Y * comptime!(grouping.lanes as u32) + other;
                sum += partial[(unit * comptime!((ROWS * m) as u32) + i) as usize];
            }
            let row = first + i / comptime!(m as u32);
            let j = i % comptime!(m as u32);
            if row < out {
                y[(j * out + row) as usize] = sum;
            }
        }
    }
}

/// Launches the kernel for `x[m, in]`, where `in` is a multiple of eight.
pub(super) fn launch(x: &CubeTensor, weight: &PackedMatrix, y: &CubeTensor, m: usize, spec: &Packed4Spec) {
    let (out, inn) = (spec.out_features, spec.in_features);
    if out == 0 {
        return;
    }
    let client = &y.client;
    let properties = client.properties();
    let plane = properties.hardware.plane_size_max;
    let planes = plane >= 8
        && properties.hardware.plane_size_min == plane
        && properties.features.plane.contains(Plane::Ops);
    let grouping = match planes {
        true => Grouping { lanes: plane as usize, groups: GROUPS as usize, planes },
        false => Grouping { lanes: units(client, 64) as usize, groups: 1, planes },
    };
    // SAFETY: the packed arrays were checked against the specification; `x` holds `m` rows of
    // `in_features` and `y` `m` of `out_features`; rows beyond them are neither read nor written.
    #[allow(unsafe_code)]
    unsafe {
        few_rows::launch_unchecked(
            client,
            cubes(client, out.div_ceil(ROWS * grouping.groups)),
            CubeDim::new_2d(grouping.lanes as u32, grouping.groups as u32),
            vectors(x, 4),
            weight.packed(),
            weight.absmax(),
            weight.codes(),
            weight.map(),
            scalars(y),
            weight.offset,
            out as u32,
            (inn / 8) as u32,
            m,
            grouping,
            weight.format,
        );
    }
}

pub(super) fn specimens() -> Vec<Specimen> {
    const N: usize = 4096;
    const GROUPING: Grouping = Grouping { lanes: 32, groups: GROUPS as usize, planes: true };
    let weights = (N * N) as f64;
    vec![Specimen {
        name: "linear4bit one row",
        shape: "1×4096×4096, double quantised",
        cube_dim: CubeDim::new_2d(32, GROUPS),
        cubes: N / ROWS / GROUPS as usize,
        bytes: Format::NF4_NESTED.bytes(N * N) + 2.0 * N as f64 * 4.0,
        operations: 3.0 * weights,
        tensor_cores: false,
        kernel: |t| {
            t.build(|s, d, p, b| {
                few_rows::FewRows::new(
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
                    1,
                    GROUPING,
                    Format::NF4_NESTED,
                )
            })
        },
    }]
}
