//! The CubeCL implementation: one pass over memory, writing over inputs that nothing
//! else holds.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::op::{SwigluGrad, SwigluOp};
use crate::cube::buffers::{cubes, f32s, output, units, vectors};
use crate::cube::specimen::Specimen;

/// Units of a cube.
const UNITS: u32 = 256;

#[cube]
fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0f32);
    // exp of a large negative x overflows to infinity, whose reciprocal is the 0 it should be.
    one / (one + (-x).exp())
}

#[cube(launch_unchecked)]
fn swiglu<N: Size>(gate: &[Vector<f32, N>], up: &[Vector<f32, N>], y: &mut [Vector<f32, N>], count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        y[at] = gate[at] * sigmoid(gate[at]) * up[at];
    }
}

/// With s = sigmoid(gate): `dup = dy·gate·s`, `dgate = dy·up·s·(1 + gate·(1 − s))`.
#[cube(launch_unchecked)]
fn swiglu_back<N: Size>(
    dy: &[Vector<f32, N>],
    gate: &[Vector<f32, N>],
    up: &[Vector<f32, N>],
    dgate: &mut [Vector<f32, N>],
    dup: &mut [Vector<f32, N>],
    count: u32,
) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        let one = Vector::<f32, N>::new(1.0f32);
        let (upstream, g, u) = (dy[at], gate[at], up[at]);
        let s = sigmoid(g);
        dup[at] = upstream * g * s;
        dgate[at] = upstream * u * s * (one + g * (one - s));
    }
}

fn check_shapes(a: &CubeTensor, b: &CubeTensor) {
    assert_eq!(a.shape(), b.shape(), "swiglu: the shapes of its operands");
}

fn lanes(len: usize) -> usize {
    if len.is_multiple_of(4) { 4 } else { 1 }
}

/// The tensor that takes the place of one that the operation consumed: itself when nothing
/// else holds it, a new one otherwise; and the kernel's argument for it.
fn in_place_of(tensor: &CubeTensor, lanes: usize, position: usize) -> (CubeTensor, BufferArg) {
    if tensor.can_mut() {
        let len = tensor.meta.num_elements() / lanes;
        return (tensor.clone(), BufferArg::alias(position, len));
    }
    let result = output(tensor, tensor.shape(), DType::F32);
    let argument = vectors(&result, lanes);
    (result, argument)
}

impl SwigluOp for CubeBackend {
    fn swiglu_op(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        check_shapes(&gate, &up);
        let (gate, up) = (f32s(gate), f32s(up));
        let len = gate.meta.num_elements();
        let client = gate.client.clone();
        let (lanes, units) = (lanes(len), units(&client, UNITS));
        let (y, result) = in_place_of(&gate, lanes, 0);
        if len == 0 {
            return y;
        }
        let count = len / lanes;
        // SAFETY: the three tensors have one length, which the kernel holds its units to; where
        // the result is the gate, a unit reads its value before it writes there.
        #[allow(unsafe_code)]
        unsafe {
            swiglu::launch_unchecked(
                &client,
                cubes(&client, count.div_ceil(units as usize)),
                CubeDim::new_1d(units),
                lanes,
                vectors(&gate, lanes),
                vectors(&up, lanes),
                result,
                count as u32,
            );
        }
        y
    }
}

impl SwigluGrad for CubeBackend {
    fn swiglu_grads(dy: CubeTensor, gate: CubeTensor, up: CubeTensor) -> (CubeTensor, CubeTensor) {
        check_shapes(&gate, &up);
        check_shapes(&gate, &dy);
        let (dy, gate, up) = (f32s(dy), f32s(gate), f32s(up));
        let len = gate.meta.num_elements();
        let client = gate.client.clone();
        let (lanes, units) = (lanes(len), units(&client, UNITS));
        let (dgate, result) = in_place_of(&dy, lanes, 0);
        let dup = output(&gate, gate.shape(), DType::F32);
        if len == 0 {
            return (dgate, dup);
        }
        let count = len / lanes;
        // SAFETY: the five tensors have one length, which the kernel holds its units to; where
        // the gate's gradient is `dy`, a unit reads its value before it writes there.
        #[allow(unsafe_code)]
        unsafe {
            swiglu_back::launch_unchecked(
                &client,
                cubes(&client, count.div_ceil(units as usize)),
                CubeDim::new_1d(units),
                lanes,
                vectors(&dy, lanes),
                vectors(&gate, lanes),
                vectors(&up, lanes),
                result,
                vectors(&dup, lanes),
                count as u32,
            );
        }
        (dgate, dup)
    }
}

pub(crate) fn specimens() -> Vec<Specimen> {
    const LEN: usize = 2048 * 11_008;
    let specimen = |name, bytes: f64, operations: f64, kernel| Specimen {
        name,
        shape: "2048×11008",
        cube_dim: CubeDim::new_1d(UNITS),
        cubes: LEN / 4 / UNITS as usize,
        bytes: bytes * LEN as f64,
        operations: operations * LEN as f64,
        tensor_cores: false,
        kernel,
    };
    vec![
        specimen("swiglu forward", 12.0, 5.0, |t| {
            t.build(|s, d, p, b| swiglu::Swiglu::new(s, d, p, b(), b(), b(), (), 4))
        }),
        specimen("swiglu backward", 20.0, 11.0, |t| {
            t.build(|s, d, p, b| swiglu_back::SwigluBack::new(s, d, p, b(), b(), b(), b(), b(), (), 4))
        }),
    ]
}
