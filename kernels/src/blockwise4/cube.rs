//! The CubeCL implementation, and how other kernels read packed weights.
//!
//! A 32-bit word holds eight codes, element `i` in bits `8·(i / 2) + (i even ? 4 : 0)`.
//! Block sizes are multiples of eight, so that a word never has two scales.

mod nest;
mod quantize;

use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::Blockwise4Op;
use super::{Code4, NestedSpec, Packed4Spec, Rounding};
use crate::cube::buffers::{bytes, cubes, f32s, output, scalars, units, vectors, words};
use crate::cube::specimen::Specimen;

/// Units of a cube.
const UNITS: u32 = 256;

/// What a kernel is specialised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    code: Code4,
    block_size: usize,
    /// Scales per nested scale; `None` without double quantisation.
    nested_block: Option<usize>,
}

impl Format {
    pub fn new(spec: &Packed4Spec) -> Self {
        Self {
            code: spec.code,
            block_size: spec.block_size,
            nested_block: spec.nested.map(|nested| nested.block_size),
        }
    }

    /// NF4 in blocks of 64, and doubly quantised: what the specimens are built for.
    pub const NF4: Self = Self { code: Code4::Nf4, block_size: 64, nested_block: None };
    pub const NF4_NESTED: Self = Self { nested_block: Some(256), ..Self::NF4 };

    pub fn block_size(self) -> usize {
        self.block_size
    }

    pub fn words_per_block(self) -> usize {
        self.block_size / 8
    }

    fn nested(self) -> usize {
        self.nested_block.unwrap_or(1)
    }

    /// Bytes of a packed run of `len` values with its scales.
    pub fn bytes(self, len: usize) -> f64 {
        let blocks = len as f64 / self.block_size as f64;
        let scales = match self.nested_block {
            None => 4.0 * blocks,
            Some(nested) => blocks + 4.0 * blocks / nested as f64,
        };
        len as f64 / 2.0 + scales
    }

    fn value(self, code: usize) -> f32 {
        self.code.table()[code]
    }
}

/// A packed matrix as the kernels take it.
pub(crate) struct PackedMatrix {
    packed: CubeTensor,
    absmax: CubeTensor,
    codes: CubeTensor,
    map: CubeTensor,
    pub offset: f32,
    pub format: Format,
}

impl PackedMatrix {
    /// # Panics
    /// If lengths or dtypes do not agree with `spec`.
    pub fn new(packed: CubeTensor, absmax: CubeTensor, codes: CubeTensor, spec: &Packed4Spec) -> Self {
        let (packed, absmax, codes) = (bytes(packed), f32s(absmax), bytes(codes));
        let len = |tensor: &CubeTensor| tensor.meta.num_elements();
        spec.check_lengths(len(&packed), len(&absmax), len(&codes));
        let (map, offset) = match spec.nested {
            None => (absmax.clone(), 0.0),
            Some(nested) => (constants(&absmax, nested.table.values()), nested.offset),
        };
        Self { packed, absmax, codes, map, offset, format: Format::new(spec) }
    }

    pub fn packed(&self) -> BufferArg {
        words(&self.packed)
    }

    pub fn absmax(&self) -> BufferArg {
        scalars(&self.absmax)
    }

    pub fn codes(&self) -> BufferArg {
        words(&self.codes)
    }

    pub fn map(&self) -> BufferArg {
        scalars(&self.map)
    }

    pub fn device_of(&self) -> &CubeTensor {
        &self.packed
    }
}

/// Numbers that a kernel looks up, on the device of a tensor.
pub(crate) fn constants(like: &CubeTensor, values: &[f32]) -> CubeTensor {
    let handle = like.client.create_from_slice(bytemuck::cast_slice(values));
    let shape = Shape::from([values.len()]);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

/// Code `i` (0…7) of a word.
#[cube]
pub(crate) fn nibble(word: u32, #[comptime] i: u32) -> u32 {
    let shift = comptime!((i / 2) * 8 + if i.is_multiple_of(2) { 4 } else { 0 });
    (word >> shift) & 15u32
}

/// Code `i` (0…7) of a word, `i` known only when the kernel runs.
#[cube]
pub(crate) fn nibble_at(word: u32, i: u32) -> u32 {
    (word >> ((i / 2) * 8 + (1 - i % 2) * 4)) & 15u32
}

/// The number that a code stands for, by four levels of selection.
#[cube]
fn code_value(code: u32, #[comptime] format: Format) -> f32 {
    let bit0 = (code & 1u32) != 0u32;
    let bit1 = (code & 2u32) != 0u32;
    let bit2 = (code & 4u32) != 0u32;
    let bit3 = (code & 8u32) != 0u32;
    let eighth0 = select(bit0, comptime!(format.value(1)).runtime(), comptime!(format.value(0)).runtime());
    let eighth1 = select(bit0, comptime!(format.value(3)).runtime(), comptime!(format.value(2)).runtime());
    let eighth2 = select(bit0, comptime!(format.value(5)).runtime(), comptime!(format.value(4)).runtime());
    let eighth3 = select(bit0, comptime!(format.value(7)).runtime(), comptime!(format.value(6)).runtime());
    let eighth4 = select(bit0, comptime!(format.value(9)).runtime(), comptime!(format.value(8)).runtime());
    let eighth5 = select(bit0, comptime!(format.value(11)).runtime(), comptime!(format.value(10)).runtime());
    let eighth6 = select(bit0, comptime!(format.value(13)).runtime(), comptime!(format.value(12)).runtime());
    let eighth7 = select(bit0, comptime!(format.value(15)).runtime(), comptime!(format.value(14)).runtime());
    let quarter0 = select(bit1, eighth1, eighth0);
    let quarter1 = select(bit1, eighth3, eighth2);
    let quarter2 = select(bit1, eighth5, eighth4);
    let quarter3 = select(bit1, eighth7, eighth6);
    select(bit3, select(bit2, quarter3, quarter2), select(bit2, quarter1, quarter0))
}

/// The 16 numbers in shared memory: each in a bank of its own, so that a plane's lookups
/// never wait for each other. The cube must synchronise before it reads them.
#[cube]
pub(crate) fn code_table(#[comptime] format: Format) -> Shared<[f32]> {
    let mut table = Shared::<[f32]>::new_slice(16usize);
    for code in range_stepped(UNIT_POS, 16u32, CUBE_DIM) {
        table[code as usize] = code_value(code, format);
    }
    table
}

/// The scale of one block.
#[cube]
pub(crate) fn block_scale(
    absmax: &[f32],
    codes: &[u32],
    map: &[f32],
    offset: f32,
    block: usize,
    #[comptime] format: Format,
) -> f32 {
    if comptime!(format.nested_block.is_none()) {
        absmax[block]
    } else {
        let code = (codes[block / 4] >> ((block as u32 % 4) * 8)) & 255u32;
        map[code as usize] * absmax[block / comptime!(format.nested())] + offset
    }
}

/// One unit dequantises one word.
#[cube(launch_unchecked)]
fn dequantize<N: Size>(
    packed: &[u32],
    absmax: &[f32],
    codes: &[u32],
    map: &[f32],
    out: &mut [Vector<f32, N>],
    offset: f32,
    #[comptime] format: Format,
) {
    let table = code_table(format);
    sync_cube();
    let at = ABSOLUTE_POS;
    let width = N::value().comptime();
    // The length of `packed` is that of its buffer, whose last word may be a partial one.
    if at * comptime!(8 / width) < out.len() {
        let word = packed[at];
        let scale = block_scale(absmax, codes, map, offset, at / comptime!(format.words_per_block()), format);
        #[unroll]
        for part in 0..comptime!(8 / width) {
            let mut values = Vector::<f32, N>::empty();
            #[unroll]
            for i in 0..width {
                let code = nibble(word, comptime!((part * width + i) as u32));
                values.insert(i, table[code as usize] * scale);
            }
            let to = at * comptime!(8 / width) + part;
            if to < out.len() {
                out[to] = values;
            }
        }
    }
}

impl Blockwise4Op for CubeBackend {
    fn dequantize4_op(
        packed: CubeTensor,
        absmax: CubeTensor,
        absmax_codes: CubeTensor,
        spec: Packed4Spec,
    ) -> CubeTensor {
        let weight = PackedMatrix::new(packed, absmax, absmax_codes, &spec);
        let out = output(weight.device_of(), [spec.out_features, spec.in_features], DType::F32);
        if spec.is_empty() {
            return out;
        }
        let client = out.client.clone();
        let width = if spec.len().is_multiple_of(4) { 4 } else { 1 };
        let units = units(&client, UNITS);
        // SAFETY: the lengths of the packed arrays were checked against the specification, which
        // the output's shape is made of; writes are held to the output's length.
        #[allow(unsafe_code)]
        unsafe {
            dequantize::launch_unchecked(
                &client,
                cubes(&client, spec.len().div_ceil(8).div_ceil(units as usize)),
                CubeDim::new_1d(units),
                width,
                weight.packed(),
                weight.absmax(),
                weight.codes(),
                weight.map(),
                vectors(&out, width),
                weight.offset,
                weight.format,
            );
        }
        out
    }

    fn quantize4_op(
        values: CubeTensor,
        code: Code4,
        block_size: usize,
        rounding: Rounding,
    ) -> (CubeTensor, CubeTensor) {
        quantize::quantize(values, code, block_size, rounding)
    }

    fn nest_scales_op(absmax: CubeTensor, nested: NestedSpec) -> (CubeTensor, CubeTensor) {
        nest::nest_scales(absmax, nested)
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const LEN: usize = 4096 * 4096;
    let mut specimens = vec![Specimen {
        name: "blockwise4 dequantise",
        shape: "4096×4096, double quantised",
        cube_dim: CubeDim::new_1d(UNITS),
        cubes: LEN / 8 / UNITS as usize,
        bytes: Format::NF4_NESTED.bytes(LEN) + LEN as f64 * 4.0,
        operations: LEN as f64,
        tensor_cores: false,
        kernel: |t| {
            let format = Format::NF4_NESTED;
            t.build(|s, d, p, b| dequantize::Dequantize::new(s, d, p, b(), b(), b(), b(), b(), (), 4, format))
        },
    }];
    specimens.extend(quantize::specimens());
    specimens.extend(nest::specimens());
    specimens
}
