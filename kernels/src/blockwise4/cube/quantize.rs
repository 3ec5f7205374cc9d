//! Quantising on a device: one group of units per block.

#![allow(clippy::manual_is_multiple_of)] // kernels have no such method

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{Format, UNITS};
use crate::blockwise4::reference::BNB_CPU_FLOOR;
use crate::blockwise4::{BLOCK_SIZES, Code4, Decision, Rounding, block_count, packed_len};
use crate::cube::buffers::{cubes, f32s, output, scalars, units, words};
use crate::cube::specimen::Specimen;

/// What the quantising kernel is specialised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rule {
    code: Code4,
    rounding: Rounding,
    block_size: usize,
    /// Units of a cube, a power of two.
    units: usize,
}

impl Rule {
    fn words_per_block(self) -> usize {
        self.block_size / 8
    }

    /// Units that share a block.
    fn group(self) -> usize {
        self.words_per_block().min(self.units)
    }

    fn threshold(self, i: usize) -> f32 {
        Decision::new(self.code, self.rounding).thresholds[i]
    }

    /// The codes by bucket, eight to a word of four bits each.
    fn order(self, half: usize) -> u32 {
        let order = Decision::new(self.code, self.rounding).order;
        order[half * 8..][..8].iter().rev().fold(0, |word, &code| word << 4 | u32::from(code))
    }

    /// The code of a value that is no number.
    fn nan_code(self) -> u32 {
        match self.rounding {
            Rounding::Cuda => 0,
            Rounding::BnbCpu => u32::from(Decision::new(self.code, self.rounding).order[15]),
        }
    }

    /// The code of 0, which fills the spare half of an odd last byte.
    fn zero_code(self) -> u32 {
        u32::from(Decision::new(self.code, self.rounding).code(0.0))
    }
}

/// A value over its block's scale, by the rule.
#[cube]
fn normalise(value: f32, absmax: f32, full: bool, #[comptime] rule: Rule) -> f32 {
    match comptime!(rule.rounding) {
        Rounding::Cuda => {
            let reciprocal = 1.0f32 / absmax;
            let overflows = absmax > 0.0f32 && reciprocal > comptime!(f32::MAX).runtime();
            select(overflows, value / absmax, value * reciprocal)
        }
        Rounding::BnbCpu => {
            let floored = select(
                absmax < comptime!(BNB_CPU_FLOOR).runtime(),
                comptime!(BNB_CPU_FLOOR).runtime(),
                absmax,
            );
            select(full, value * (1.0f32 / floored), value / floored)
        }
    }
}

/// The code of a normalised value: the thresholds below it counted.
#[cube]
fn code_of(normalised: f32, #[comptime] rule: Rule) -> u32 {
    let mut bucket = 0u32;
    #[unroll]
    for i in 0..15usize {
        bucket += u32::cast_from(normalised > comptime!(rule.threshold(i)).runtime());
    }
    let codes = select(bucket < 8u32, comptime!(rule.order(0)).runtime(), comptime!(rule.order(1)).runtime());
    let code = (codes >> ((bucket % 8) * 4)) & 15u32;
    let magnitude = u32::reinterpret(normalised) & 0x7fff_ffffu32;
    select(magnitude > 0x7f80_0000u32, comptime!(rule.nan_code()).runtime(), code)
}

/// A group of units quantises a block: first its largest magnitude, then eight codes at a time.
///
/// Magnitudes of floats order like the integers of their bits, NaN above all.
#[cube(launch_unchecked)]
fn quantize_blocks(values: &[f32], packed: &mut [u32], absmax: &mut [f32], #[comptime] rule: Rule) {
    let words = comptime!(rule.words_per_block());
    let group = comptime!(rule.group());
    let mut magnitudes = Shared::<[u32]>::new_slice(comptime!(rule.units));
    let unit = UNIT_POS as usize;
    let block = CUBE_POS * comptime!(rule.units / rule.group()) + unit / group;
    let first = block * comptime!(rule.block_size);

    let mut largest = 0u32;
    for word in range_stepped(unit % group, words, group) {
        #[unroll]
        for i in 0..8usize {
            let at = first + word * 8 + i;
            if at < values.len() {
                largest = max(largest, u32::reinterpret(values[at]) & 0x7fff_ffffu32);
            }
        }
    }
    magnitudes[unit] = largest;
    sync_cube();
    let mut whole = 0u32;
    for other in 0..group {
        whole = max(whole, magnitudes[unit / group * group + other]);
    }
    let scale = f32::reinterpret(whole);
    let full = first + comptime!(rule.block_size) <= values.len();

    for word in range_stepped(unit % group, words, group) {
        let start = first + word * 8;
        if start < values.len() {
            let mut bits = 0u32;
            #[unroll]
            for i in 0..8usize {
                let mut code = comptime!(rule.zero_code()).runtime();
                if start + i < values.len() {
                    code = code_of(normalise(values[start + i], scale, full, rule), rule);
                }
                bits |= code << comptime!(((i / 2) * 8 + if i.is_multiple_of(2) { 4 } else { 0 }) as u32);
            }
            packed[block * words + word] = bits;
        }
    }
    if unit % group == 0 && block < absmax.len() {
        absmax[block] = match comptime!(rule.rounding) {
            Rounding::Cuda => scale,
            Rounding::BnbCpu => {
                let floor = comptime!(BNB_CPU_FLOOR).runtime();
                select(!full && scale < floor, floor, scale)
            }
        };
    }
}

/// See [`quantize_tensor`](crate::blockwise4::quantize_tensor).
pub(super) fn quantize(
    values: CubeTensor,
    code: Code4,
    block_size: usize,
    rounding: Rounding,
) -> (CubeTensor, CubeTensor) {
    assert!(
        BLOCK_SIZES.contains(&block_size),
        "block size {block_size} is not a power of two from 32 to 4096"
    );
    let values = f32s(values);
    let len = values.meta.num_elements();
    let packed = output(&values, [packed_len(len)], DType::U8);
    let absmax = output(&values, [block_count(len, block_size)], DType::F32);
    if len == 0 {
        return (packed, absmax);
    }
    let client = values.client.clone();
    let units = units(&client, UNITS);
    let rule = Rule { code, rounding, block_size, units: units as usize };
    let blocks = rule.units / rule.group();
    // SAFETY: the outputs have the lengths that the values' length asks for, the packed one
    // rounded up to words; the kernel holds its reads and writes to the values' length.
    #[allow(unsafe_code)]
    unsafe {
        quantize_blocks::launch_unchecked(
            &client,
            cubes(&client, block_count(len, block_size).div_ceil(blocks)),
            CubeDim::new_1d(units),
            scalars(&values),
            words(&packed),
            scalars(&absmax),
            rule,
        );
    }
    (packed, absmax)
}

pub(super) fn specimens() -> Vec<Specimen> {
    const LEN: usize = 4096 * 4096;
    vec![Specimen {
        name: "blockwise4 quantise",
        shape: "4096×4096",
        cube_dim: CubeDim::new_1d(UNITS),
        cubes: LEN / 8 / UNITS as usize,
        bytes: LEN as f64 * 4.0 + Format::NF4.bytes(LEN),
        operations: LEN as f64 * 17.0,
        tensor_cores: false,
        kernel: |t| {
            let (code, rounding) = (Code4::Nf4, Rounding::Cuda);
            let rule = Rule { code, rounding, block_size: 64, units: UNITS as usize };
            t.build(|s, d, p, b| quantize_blocks::QuantizeBlocks::new(s, d, p, b(), b(), b(), rule))
        },
    }]
}
