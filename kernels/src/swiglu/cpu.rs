//! The flex backend's implementation: one pass over memory, writing over inputs
//! that nothing else holds.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::op::{SwigluGrad, SwigluOp};
use crate::flex_slices::{F32s, dims, own_buffer};
use crate::lanes::{sigmoid, vectorised};
use crate::values::Values;

/// Elements that one task takes: 32 KiB of each operand.
const EACH: usize = 8192;

impl SwigluOp for Flex {
    fn swiglu_op(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        check_shapes(&gate, &up);
        let up = F32s::new(&up);
        if gate.is_unique() {
            let mut gate = own_buffer(gate);
            gate.storage_mut::<f32>().par_chunks_mut(EACH).zip(up.par_chunks(EACH)).for_each(|(gate, up)| {
                vectorised(
                    #[inline(always)]
                    || gate.iter_mut().zip(up).for_each(|(g, &u)| *g = *g * sigmoid(*g) * u),
                );
            });
            return gate;
        }
        let shape = dims(&gate);
        let gate = F32s::new(&gate);
        let mut y = Values::unset(gate.len());
        y.par_chunks_mut(EACH).zip(gate.par_chunks(EACH).zip(up.par_chunks(EACH))).for_each(
            |(y, (gate, up))| {
                vectorised(
                    #[inline(always)]
                    || y.iter_mut().zip(gate).zip(up).for_each(|((y, &g), &u)| *y = g * sigmoid(g) * u),
                );
            },
        );
        y.into_tensor(shape)
    }
}

impl SwigluGrad for Flex {
    /// With s = sigmoid(gate): `dup = dy·gate·s`, `dgate = dy·up·s·(1 + gate·(1 − s))`.
    /// Each is written over the operand itself, which the backward pass is the last to hold.
    fn swiglu_grads(dy: FlexTensor, gate: FlexTensor, up: FlexTensor) -> (FlexTensor, FlexTensor) {
        check_shapes(&gate, &up);
        check_shapes(&gate, &dy);
        let dy = F32s::new(&dy);
        let (mut gate, mut up) = (own_buffer(gate), own_buffer(up));
        gate.storage_mut::<f32>()
            .par_chunks_mut(EACH)
            .zip(up.storage_mut::<f32>().par_chunks_mut(EACH))
            .zip(dy.par_chunks(EACH))
            .for_each(|((gate, up), dy)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((gate, up), &dy) in gate.iter_mut().zip(up).zip(dy) {
                            let (g, u) = (*gate, *up);
                            let s = sigmoid(g);
                            *up = dy * g * s;
                            *gate = dy * u * s * g.mul_add(1.0 - s, 1.0);
                        }
                    },
                );
            });
        (gate, up)
    }
}

fn check_shapes(a: &FlexTensor, b: &FlexTensor) {
    assert_eq!(dims(a), dims(b), "swiglu: the shapes of its operands");
    assert!(a.dtype() == DType::F32 && b.dtype() == DType::F32, "the operation computes in f32");
}
