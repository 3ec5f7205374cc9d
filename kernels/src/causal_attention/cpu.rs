//! The flex backend's entry points.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::op::{AttentionGrad, AttentionInputs, AttentionOp};
use super::{Sizes, backward, forward};
use crate::flex_slices::{F32s, dims, f32_tensor};

impl AttentionOp for Flex {
    fn causal_attention_op(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        scale: f32,
    ) -> (FlexTensor, FlexTensor) {
        let sizes = sizes(&q, &k, &v);
        let Sizes { batch, t, heads, d, .. } = sizes;
        let (out, lse) = forward::run(&F32s::new(&q), &F32s::new(&k), &F32s::new(&v), scale, sizes);
        (f32_tensor(out, [batch, t, heads, d]), f32_tensor(lse, [batch, t, heads]))
    }
}

impl AttentionGrad for Flex {
    fn causal_attention_grads(dy: FlexTensor, inputs: AttentionInputs<FlexTensor>) -> [FlexTensor; 3] {
        let AttentionInputs { q, k, v, out, lse, scale } = inputs;
        let sizes = sizes(&q, &k, &v);
        let (q_shape, k_shape) = (dims(&q), dims(&k));
        let slices = backward::Slices {
            dy: &F32s::new(&dy),
            q: &F32s::new(&q),
            k: &F32s::new(&k),
            v: &F32s::new(&v),
            out: &F32s::new(&out),
            lse: &F32s::new(&lse),
        };
        let [dq, dk, dv] = backward::run(slices, scale, sizes);
        [f32_tensor(dq, q_shape), f32_tensor(dk, k_shape.clone()), f32_tensor(dv, k_shape)]
    }
}

fn sizes(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor) -> Sizes {
    let (q, k, v) = (dims(q), dims(k), dims(v));
    let (&[batch, t, heads, d], &[k_batch, s, kv_heads, k_d]) = (q.as_slice(), k.as_slice()) else {
        panic!("causal_attention: four dimensions, not {q:?} and {k:?}");
    };
    assert!(
        k == v && batch == k_batch && d == k_d && s >= t && kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "causal_attention: q {q:?}, k {k:?}, v {v:?}"
    );
    Sizes { batch, t, s, heads, kv_heads, d }
}
