//! Double quantisation on a device: the scales of a packed tensor to 8 bits.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{UNITS, constants};
use crate::blockwise4::{NestedSpec, block_count};
use crate::blockwise8::Map8;
use crate::cube::buffers::{cubes, f32s, output, scalars, units, words};
use crate::cube::specimen::Specimen;

/// What the kernel is specialised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    /// Scales per nested scale, a multiple of four.
    block_size: usize,
    units: usize,
}

/// A scale over its block's largest, between −1 and 1.
#[cube]
fn normalised(centred: f32, largest: f32) -> f32 {
    let reciprocal = 1.0f32 / largest;
    let overflows = reciprocal > comptime!(f32::MAX).runtime();
    let ratio = select(overflows, centred / largest, centred * reciprocal);
    let ratio = select(largest == 0.0f32, 0.0f32, ratio);
    select(ratio > 1.0f32, 1.0f32, select(ratio < -1.0f32, -1.0f32, ratio))
}

/// How many of the 255 ascending midpoints lie below a value, by halving.
#[cube]
fn midpoints_below(midpoints: &[f32], value: f32) -> u32 {
    let mut below = 0u32;
    #[unroll]
    for i in 0..8u32 {
        let half = comptime!(128u32 >> i);
        if midpoints[(below + half - 1) as usize] < value {
            below += half;
        }
    }
    below
}

/// One cube per nested block; a unit makes four codes, a word, at a time.
#[cube(launch_unchecked)]
fn nest(
    absmax: &[f32],
    midpoints: &[f32],
    codes: &mut [u32],
    nested: &mut [f32],
    offset: f32,
    #[comptime] plan: Plan,
) {
    let words = comptime!(plan.block_size / 4);
    let mut magnitudes = Shared::<[f32]>::new_slice(comptime!(plan.units));
    let unit = UNIT_POS as usize;
    let first = CUBE_POS * comptime!(plan.block_size);
    let mut largest = 0.0f32;
    for i in range_stepped(unit, comptime!(plan.block_size), comptime!(plan.units)) {
        if first + i < absmax.len() {
            let magnitude = (absmax[first + i] - offset).abs();
            largest = select(magnitude > largest, magnitude, largest);
        }
    }
    magnitudes[unit] = largest;
    sync_cube();
    for other in 0..comptime!(plan.units) {
        let magnitude = magnitudes[other];
        largest = select(magnitude > largest, magnitude, largest);
    }
    for word in range_stepped(unit, words, comptime!(plan.units)) {
        let start = first + word * 4;
        if start < absmax.len() {
            let mut bits = 0u32;
            #[unroll]
            for i in 0..4usize {
                if start + i < absmax.len() {
                    let code = midpoints_below(midpoints, normalised(absmax[start + i] - offset, largest));
                    bits |= code << comptime!(i as u32 * 8);
                }
            }
            codes[CUBE_POS * words + word] = bits;
        }
    }
    if unit == 0 && CUBE_POS < nested.len() {
        nested[CUBE_POS] = largest;
    }
}

/// See [`nest_scales_tensor`](crate::blockwise4::nest_scales_tensor).
pub(super) fn nest_scales(absmax: CubeTensor, spec: NestedSpec) -> (CubeTensor, CubeTensor) {
    let absmax = f32s(absmax);
    let len = absmax.meta.num_elements();
    let codes = output(&absmax, [len], DType::U8);
    let nested = output(&absmax, [block_count(len, spec.block_size)], DType::F32);
    if len == 0 {
        return (codes, nested);
    }
    let midpoints = constants(&absmax, &Map8::DynamicSigned.tables().midpoints);
    let client = absmax.client.clone();
    let units = units(&client, UNITS.min(64));
    // SAFETY: the outputs have the lengths that the scales' number asks for, the codes rounded up
    // to words; the kernel holds its reads and writes to that number.
    #[allow(unsafe_code)]
    unsafe {
        nest::launch_unchecked(
            &client,
            cubes(&client, block_count(len, spec.block_size)),
            CubeDim::new_1d(units),
            scalars(&absmax),
            scalars(&midpoints),
            words(&codes),
            scalars(&nested),
            spec.offset,
            Plan { block_size: spec.block_size, units: units as usize },
        );
    }
    (codes, nested)
}

pub(super) fn specimens() -> Vec<Specimen> {
    const LEN: usize = 4096 * 4096 / 64;
    vec![Specimen {
        name: "blockwise4 double quantise",
        shape: "scales of 4096×4096",
        cube_dim: CubeDim::new_1d(64),
        cubes: LEN / 256,
        bytes: LEN as f64 * 5.0,
        operations: LEN as f64 * 12.0,
        tensor_cores: false,
        kernel: |t| {
            let plan = Plan { block_size: 256, units: 64 };
            t.build(|s, d, p, b| nest::Nest::new(s, d, p, b(), b(), b(), b(), (), plan))
        },
    }]
}
