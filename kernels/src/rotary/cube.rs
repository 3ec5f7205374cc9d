//! The CubeCL implementation: a unit turns pairs of elements, in place when `x` is not shared.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::RotaryOp;
use crate::cube::buffers::{cubes, f32s, output, units, vectors};
use crate::cube::specimen::Specimen;

/// Units of a cube.
const UNITS: u32 = 256;

/// Turns by the angle, or back where `direction` is −1 instead of 1.
#[cube(launch_unchecked)]
fn turn<N: Size>(
    x: &[Vector<f32, N>],
    cos: &[Vector<f32, N>],
    sin: &[Vector<f32, N>],
    y: &mut [Vector<f32, N>],
    pairs: u32,
    seq: u32,
    heads: u32,
    half: u32,
    direction: f32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < pairs {
        let (head, i) = (at / half, at % half);
        let angle = ((head / heads) % seq * half + i) as usize;
        let first = (head * 2 * half + i) as usize;
        let second = first + half as usize;
        let (a, b) = (x[first], x[second]);
        let (c, s) = (cos[angle], sin[angle] * Vector::<f32, N>::new(direction));
        y[first] = a * c - b * s;
        y[second] = b * c + a * s;
    }
}

impl RotaryOp for CubeBackend {
    fn rotary_op(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, inverse: bool) -> CubeTensor {
        let shape = x.shape().to_vec();
        let &[_, seq, heads, d] = shape.as_slice() else {
            panic!("rotary: x has the shape [batch, seq, heads, head_dim], not {shape:?}");
        };
        let half = d / 2;
        assert_eq!(d % 2, 0, "rotary: head_dim must be even");
        for (name, table) in [("cos", &cos), ("sin", &sin)] {
            assert_eq!(table.shape().to_vec(), [seq, half], "rotary: shape of {name}, [seq, head_dim / 2]");
        }
        let (x, cos, sin) = (f32s(x), f32s(cos), f32s(sin));
        let lanes = if half.is_multiple_of(4) { 4 } else { 1 };
        let len = x.meta.num_elements();
        if len == 0 {
            return x;
        }
        let (y, result) = if x.can_mut() {
            (x.clone(), BufferArg::alias(0, len / lanes))
        } else {
            let y = output(&x, x.shape(), DType::F32);
            let result = vectors(&y, lanes);
            (y, result)
        };
        let client = y.client.clone();
        let units = units(&client, UNITS);
        let pairs = len / 2 / lanes;
        // SAFETY: `x` and `y` hold two vectors per pair, the tables `seq` rows of half a head; units
        // beyond the pairs do nothing; where `y` is `x`, a unit reads its pair before it writes it.
        #[allow(unsafe_code)]
        unsafe {
            turn::launch_unchecked(
                &client,
                cubes(&client, pairs.div_ceil(units as usize)),
                CubeDim::new_1d(units),
                lanes,
                vectors(&x, lanes),
                vectors(&cos, lanes),
                vectors(&sin, lanes),
                result,
                pairs as u32,
                seq as u32,
                heads as u32,
                (half / lanes) as u32,
                if inverse { -1.0 } else { 1.0 },
            );
        }
        y
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const POSITIONS: usize = 2048;
    const HEADS: usize = 32;
    const D: usize = 128;
    const LEN: usize = POSITIONS * HEADS * D;
    vec![Specimen {
        name: "rotary",
        shape: "2048 positions, 32 heads of 128",
        cube_dim: CubeDim::new_1d(UNITS),
        cubes: LEN / 2 / 4 / UNITS as usize,
        bytes: 4.0 * (2 * LEN + POSITIONS * D) as f64,
        operations: 3.0 * LEN as f64,
        tensor_cores: false,
        kernel: |t| t.build(|s, d, p, b| turn::Turn::new(s, d, p, b(), b(), b(), b(), (), (), (), (), (), 4)),
    }]
}
