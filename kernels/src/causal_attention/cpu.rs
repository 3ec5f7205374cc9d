//! The flex backend's entry points.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::op::{AttentionGrad, AttentionInputs, AttentionOp};
use super::sequences::sizes;
use super::{CuSeqlens, backward, forward};
use crate::flex_slices::{F32s, dims};

impl AttentionOp for Flex {
    fn causal_attention_op(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        scale: f32,
        cu_seqlens: Option<CuSeqlens>,
    ) -> (FlexTensor, FlexTensor) {
        let (mut sequences, heads) = sizes([&q, &k, &v].map(dims), cu_seqlens.as_ref());
        let shape = dims(&q);
        let lse_shape = [shape[0], shape[1], heads.queries];
        let (out, lse) = match (in_place(&k), in_place(&v)) {
            (Some(keys), Some(values)) if keys.stride == values.stride => {
                let stride = keys.stride / heads.key_row().max(1);
                sequences.iter_mut().enumerate().for_each(|(b, sequence)| sequence.key = b * stride);
                forward::run(&F32s::new(&q), keys.values(), values.values(), scale, &sequences, heads)
            }
            _ => forward::run(&F32s::new(&q), &F32s::new(&k), &F32s::new(&v), scale, &sequences, heads),
        };
        (out.into_tensor(shape), lse.into_tensor(lse_shape))
    }
}

impl AttentionGrad for Flex {
    fn causal_attention_grads(dy: FlexTensor, inputs: AttentionInputs<FlexTensor>) -> [FlexTensor; 3] {
        let AttentionInputs { q, k, v, out, lse, scale, cu_seqlens } = inputs;
        let (sequences, heads) = sizes([&q, &k, &v].map(dims), cu_seqlens.as_ref());
        let slices = backward::Slices {
            dy: &F32s::new(&dy),
            q: &F32s::new(&q),
            k: &F32s::new(&k),
            v: &F32s::new(&v),
            out: &F32s::new(&out),
            lse: &F32s::new(&lse),
        };
        let [dq, dk, dv] = backward::run(slices, scale, &sequences, heads);
        [dq.into_tensor(dims(&q)), dk.into_tensor(dims(&k)), dv.into_tensor(dims(&v))]
    }
}

/// Keys or values of a cache with room to spare: each batch row contiguous, `stride`
/// elements after the one before.
struct InPlace<'a> {
    tensor: &'a FlexTensor,
    stride: usize,
}

impl InPlace<'_> {
    fn values(&self) -> &[f32] {
        &self.tensor.storage::<f32>()[self.tensor.layout().start_offset()..]
    }
}

/// The tensor as it lies, when it is more than one row of a cache.
fn in_place(tensor: &FlexTensor) -> Option<InPlace<'_>> {
    let shape = dims(tensor);
    let row: usize = shape[2..].iter().product();
    let &[stride, position, head, element] = tensor.layout().strides() else { return None };
    let stride = usize::try_from(stride).ok()?;
    let rows_lie_together = element == 1 && head == shape[3] as isize && position == row as isize;
    let cut_off = shape[0] > 1 && row > 0 && stride > shape[1] * row && stride.is_multiple_of(row);
    (rows_lie_together && cut_off).then_some(InPlace { tensor, stride })
}
