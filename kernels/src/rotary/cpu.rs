//! The flex backend's implementation: positions in parallel, in place when `x` is not shared.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::op::RotaryOp;
use crate::flex_slices::{F32s, dims, own_buffer};
use crate::lanes::vectorised;

impl RotaryOp for Flex {
    fn rotary_op(x: FlexTensor, cos: FlexTensor, sin: FlexTensor, inverse: bool) -> FlexTensor {
        let shape = dims(&x);
        let &[_, seq, heads, d] = shape.as_slice() else {
            panic!("rotary: x has the shape [batch, seq, heads, head_dim], not {shape:?}");
        };
        let half = d / 2;
        assert_eq!(d % 2, 0, "rotary: head_dim must be even");
        for (name, table) in [("cos", &cos), ("sin", &sin)] {
            assert_eq!(dims(table), [seq, half], "rotary: shape of {name}, [seq, head_dim / 2]");
        }
        assert_eq!(x.dtype(), DType::F32, "the operation computes in f32");
        let (cos, sin) = (F32s::new(&cos), F32s::new(&sin));
        let mut x = own_buffer(x);
        if half == 0 || heads == 0 {
            return x;
        }
        let values = x.storage_mut::<f32>();
        values.par_chunks_mut(heads * d).enumerate().with_min_len(8).for_each(|(row, heads)| {
            let position = row % seq;
            let cos = &cos[position * half..][..half];
            let sin = &sin[position * half..][..half];
            vectorised(
                #[inline(always)]
                || {
                    for head in heads.chunks_exact_mut(d) {
                        if inverse { turn_back(head, cos, sin) } else { turn(head, cos, sin) }
                    }
                },
            );
        });
        x
    }
}

#[inline(always)]
fn turn(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

#[inline(always)]
fn turn_back(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(cos.len());
    for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * c + *b * s, *b * c - *a * s);
    }
}
