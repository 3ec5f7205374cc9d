//! A dense f32 product with what LoRA needs of one: operands of any strides, dropout as a
//! function of the element, and a result that adds to what is there.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::buffers::{scalars, units};
use super::specimen::{Specimen, Target};
use crate::ComputeType;
use crate::lora_update::Mask;

/// One operand: a contiguous tensor read as a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    tensor: &'a CubeTensor,
    row: usize,
    col: usize,
}

impl<'a> Operand<'a> {
    /// The tensor as rows of `cols` values.
    pub fn new(tensor: &'a CubeTensor, cols: usize) -> Self {
        Self { tensor, row: cols, col: 1 }
    }

    /// Rows and columns exchanged.
    pub fn t(self) -> Self {
        Self { row: self.col, col: self.row, ..self }
    }
}

/// What the product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Onto<'a> {
    /// Nothing: it replaces.
    Nothing,
    /// The result's own values.
    Itself,
    /// Those of another contiguous tensor of the result's shape.
    Other(&'a CubeTensor),
}

/// Which elements the mask of a dropout applies to, by their flat row-major index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Masked {
    Nothing,
    Left,
    Right,
    Result,
}

/// What a kernel is specialised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// Rows and columns of a tile of the result, and terms per step.
    rows: usize,
    cols: usize,
    depth: usize,
    units: usize,
    /// Whether neighbours along a row of the left, or a column of the right operand lie together.
    left_terms_together: bool,
    right_terms_together: bool,
    adds: Adds,
    masked: Masked,
    compute: ComputeType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Adds {
    Nothing,
    Itself,
    Other,
}

impl Plan {
    fn tile(units: u32, m: usize, n: usize) -> (usize, usize, usize) {
        // Narrow results have few tiles: small ones keep more of the device at work.
        if units < 256 || m <= 64 || n <= 64 { (16, 32, units.min(32) as usize) } else { (64, 64, 256) }
    }

    fn per_unit(self) -> usize {
        self.rows * self.cols / 16 / self.units
    }

    fn pitch(self) -> usize {
        self.depth + 1
    }
}

/// A value as the compute type has it.
///
/// Rounded by its bits, to nearest even: CubeCL's CPU runtime makes 0 of every f32 that it
/// casts to bf16 where the machine has no instruction for it.
#[cube]
pub(crate) fn rounded(value: f32, #[comptime] compute: ComputeType) -> f32 {
    if comptime!(compute == ComputeType::Bf16) {
        let bits = u32::reinterpret(value);
        let even = (bits + 0x7fffu32 + ((bits >> 16) & 1u32)) & 0xffff_0000u32;
        let is_nan = (bits & 0x7fff_ffffu32) > 0x7f80_0000u32;
        f32::reinterpret(select(is_nan, bits, even))
    } else {
        value
    }
}

#[cube]
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)) * 0x7feb_352du32;
    let x = (x ^ (x >> 15)) * 0x846c_a68bu32;
    x ^ (x >> 16)
}

/// The factor of one element, as `Dropout::factor` has it.
#[cube]
pub(crate) fn mask_factor(index: u32, first_key: u32, second_key: u32, threshold: u32, keep: f32) -> f32 {
    let hash = mix(mix(index ^ first_key) + second_key);
    select(hash >= threshold, keep, 0.0f32)
}

#[cube(launch_unchecked)]
fn product(
    left: &[f32],
    right: &[f32],
    onto: &[f32],
    result: &mut [f32],
    m: u32,
    n: u32,
    terms: u32,
    left_row: u32,
    left_term: u32,
    right_term: u32,
    right_col: u32,
    alpha: f32,
    first_key: u32,
    second_key: u32,
    threshold: u32,
    keep: f32,
    #[comptime] plan: Plan,
) {
    let rows = comptime!(plan.rows as u32);
    let cols = comptime!(plan.cols as u32);
    let depth = comptime!(plan.depth as u32);
    let pitch = comptime!(plan.pitch() as u32);
    let across = comptime!((plan.cols / 4) as u32);
    let down = comptime!((plan.rows / 4) as u32);
    let single = comptime!(plan.per_unit() == 1);
    let mut left_tile = Shared::<[f32]>::new_slice(comptime!(plan.rows * plan.pitch()));
    let mut right_tile = Shared::<[f32]>::new_slice(comptime!(plan.cols * plan.pitch()));
    let (row0, col0) = (CUBE_POS_Y * rows, CUBE_POS_X * cols);

    let mut sums = Array::<f32>::new(comptime!(plan.per_unit() * 16));
    for i in 0..comptime!(plan.per_unit() * 16) {
        sums[i] = 0.0;
    }
    for step in range_stepped(0u32, terms, depth) {
        sync_cube();
        for i in range_stepped(UNIT_POS, rows * depth, CUBE_DIM) {
            let (r, d) = if comptime!(plan.left_terms_together) {
                (i / depth, i % depth)
            } else {
                (i % rows, i / rows)
            };
            let mut value = 0.0f32;
            if row0 + r < m && step + d < terms {
                let at = (row0 + r) * left_row + (step + d) * left_term;
                value = left[at as usize];
                if comptime!(plan.masked == Masked::Left) {
                    value *= mask_factor(at, first_key, second_key, threshold, keep);
                }
            }
            left_tile[(r * pitch + d) as usize] = rounded(value, plan.compute);
        }
        for i in range_stepped(UNIT_POS, cols * depth, CUBE_DIM) {
            let (c, d) = if comptime!(plan.right_terms_together) {
                (i / depth, i % depth)
            } else {
                (i % cols, i / cols)
            };
            let mut value = 0.0f32;
            if col0 + c < n && step + d < terms {
                let at = (col0 + c) * right_col + (step + d) * right_term;
                value = right[at as usize];
                if comptime!(plan.masked == Masked::Right) {
                    value *= mask_factor(at, first_key, second_key, threshold, keep);
                }
            }
            right_tile[(c * pitch + d) as usize] = rounded(value, plan.compute);
        }
        sync_cube();
        #[unroll(single)]
        for piece in 0..comptime!(plan.per_unit()) {
            let at = UNIT_POS + piece as u32 * comptime!(plan.units as u32);
            let (tx, ty) = (at % across, at / across);
            for d in 0..depth {
                let mut a = Array::<f32>::new(4usize);
                #[unroll]
                for i in 0..4usize {
                    a[i] = left_tile[((ty + comptime!(i as u32) * down) * pitch + d) as usize];
                }
                #[unroll]
                for j in 0..4usize {
                    let b = right_tile[((tx + comptime!(j as u32) * across) * pitch + d) as usize];
                    #[unroll]
                    for i in 0..4usize {
                        let to = piece * 16 + comptime!(i * 4 + j);
                        sums[to] = fma(a[i], b, sums[to]);
                    }
                }
            }
        }
    }
    #[unroll(single)]
    for piece in 0..comptime!(plan.per_unit()) {
        let at = UNIT_POS + piece as u32 * comptime!(plan.units as u32);
        let (tx, ty) = (at % across, at / across);
        #[unroll]
        for i in 0..4usize {
            let row = row0 + ty + comptime!(i as u32) * down;
            #[unroll]
            for j in 0..4usize {
                let col = col0 + tx + comptime!(j as u32) * across;
                if row < m && col < n {
                    let to = row * n + col;
                    let mut value = sums[piece * 16 + comptime!(i * 4 + j)] * alpha;
                    if comptime!(plan.masked == Masked::Result) {
                        value *= mask_factor(to, first_key, second_key, threshold, keep);
                    }
                    match comptime!(plan.adds) {
                        Adds::Nothing => {}
                        Adds::Itself => value += result[to as usize],
                        Adds::Other => value += onto[to as usize],
                    }
                    result[to as usize] = value;
                }
            }
        }
    }
}

/// `result[m, n] = onto + alpha·left[m, terms]·right[terms, n]`, all contiguous f32.
///
/// # Panics
/// If an operand or the result does not hold as many values as its shape says.
#[allow(clippy::too_many_arguments)] // a product has these
pub(crate) fn multiply(
    result: &CubeTensor,
    (m, n, terms): (usize, usize, usize),
    alpha: f32,
    left: Operand<'_>,
    right: Operand<'_>,
    onto: Onto<'_>,
    masked: Masked,
    mask: Option<Mask>,
    compute: ComputeType,
) {
    let len = |tensor: &CubeTensor| tensor.meta.num_elements();
    assert_eq!((len(left.tensor), len(right.tensor)), (m * terms, terms * n), "values of the operands");
    assert_eq!(len(result), m * n, "values of the result");
    if m == 0 || n == 0 {
        return;
    }
    let (adds, other) = match onto {
        Onto::Nothing => (Adds::Nothing, left.tensor),
        Onto::Itself => (Adds::Itself, left.tensor),
        Onto::Other(other) => {
            assert_eq!(len(other), m * n, "values of what the product is added to");
            (Adds::Other, other)
        }
    };
    let mask = mask.unwrap_or_default();
    let client = &result.client;
    let (rows, cols, units) = Plan::tile(units(client, 256), m, n);
    let plan = Plan {
        rows,
        cols,
        depth: 32,
        units,
        left_terms_together: left.col == 1,
        right_terms_together: right.row == 1,
        adds,
        masked,
        compute,
    };
    // SAFETY: the tensors' lengths were just checked; the kernel reads zeros beyond the operands'
    // edges and does not write beyond the result's.
    #[allow(unsafe_code)]
    unsafe {
        product::launch_unchecked(
            client,
            CubeCount::Static(n.div_ceil(cols) as u32, m.div_ceil(rows) as u32, 1),
            CubeDim::new_1d(units as u32),
            scalars(left.tensor),
            scalars(right.tensor),
            scalars(other),
            scalars(result),
            m as u32,
            n as u32,
            terms as u32,
            left.row as u32,
            left.col as u32,
            right.row as u32,
            right.col as u32,
            alpha,
            mask.keys.0,
            mask.keys.1,
            mask.threshold,
            mask.keep,
            plan,
        );
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const M: usize = 512;
    const N: usize = 4096;
    const R: usize = 64;
    const LOW_RANK: Plan = Plan {
        rows: 16,
        cols: 32,
        depth: 32,
        units: 32,
        left_terms_together: true,
        right_terms_together: true,
        adds: Adds::Nothing,
        masked: Masked::Left,
        compute: ComputeType::F32,
    };
    const UPDATE: Plan =
        Plan { rows: 64, cols: 64, units: 256, adds: Adds::Itself, masked: Masked::Nothing, ..LOW_RANK };
    fn kernel(target: &Target, plan: Plan) -> Box<dyn CubeKernel> {
        target.build(|s, d, p, b| {
            product::Product::new(
                s,
                d,
                p,
                b(),
                b(),
                b(),
                b(),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                (),
                plan,
            )
        })
    }
    vec![
        Specimen {
            name: "lora_update low rank",
            shape: "drop(x[512×4096])·Aᵀ, r 64",
            cube_dim: CubeDim::new_1d(32),
            cubes: M / 16 * (R / 32),
            bytes: 4.0 * (M * N + R * N + M * R) as f64,
            operations: 2.0 * (M * N * R) as f64,
            tensor_cores: false,
            kernel: |target| kernel(target, LOW_RANK),
        },
        Specimen {
            name: "lora_update update",
            shape: "base[512×4096] + h·Bᵀ, r 64",
            cube_dim: CubeDim::new_1d(256),
            cubes: M / 64 * (N / 64),
            bytes: 4.0 * (2 * M * N + R * N + M * R) as f64,
            operations: 2.0 * (M * N * R) as f64,
            tensor_cores: false,
            kernel: |target| kernel(target, UPDATE),
        },
    ]
}
