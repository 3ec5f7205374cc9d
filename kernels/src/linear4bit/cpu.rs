//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::op::{Linear4bitGrad, Linear4bitOp};
use crate::blockwise4::{AbsmaxView, Packed4Spec, Packed4View};
use crate::flex_slices::{Bytes, F32s, f32_tensor, rows, with_last};
use crate::product::ComputeType;
use crate::weight_rows::{Stored, WeightRows};

impl Linear4bitOp for Flex {
    fn linear4bit_op(
        x: FlexTensor,
        packed: FlexTensor,
        absmax: FlexTensor,
        absmax_codes: FlexTensor,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> FlexTensor {
        let (m, inn) = rows(&x);
        assert_eq!(inn, spec.in_features, "linear4bit: last dimension of x against in_features");
        let shape = with_last(&x, spec.out_features);
        let y =
            with_weight(&packed, &absmax, &absmax_codes, &spec, |w| w.project(&F32s::new(&x), m, compute));
        f32_tensor(y, shape)
    }
}

impl Linear4bitGrad for Flex {
    fn linear4bit_dx(
        dy: FlexTensor,
        packed: FlexTensor,
        absmax: FlexTensor,
        absmax_codes: FlexTensor,
        spec: Packed4Spec,
        compute: ComputeType,
    ) -> FlexTensor {
        let (m, _) = rows(&dy);
        let shape = with_last(&dy, spec.in_features);
        let dx = with_weight(&packed, &absmax, &absmax_codes, &spec, |w| {
            w.project_back(&F32s::new(&dy), m, compute)
        });
        f32_tensor(dx, shape)
    }
}

/// Hands `f` the packed matrix as rows.
fn with_weight<R>(
    packed: &FlexTensor,
    absmax: &FlexTensor,
    absmax_codes: &FlexTensor,
    spec: &Packed4Spec,
    f: impl FnOnce(WeightRows<'_>) -> R,
) -> R {
    let packed = Bytes::new(packed);
    let absmax = F32s::new(absmax);
    let codes = Bytes::new(absmax_codes);
    assert_eq!(packed.len(), spec.packed_len(), "linear4bit: bytes of packed codes");
    assert_eq!(absmax.len(), spec.absmax_len(), "linear4bit: number of f32 scales");
    let scales = match spec.nested {
        None => AbsmaxView::Plain(&absmax),
        Some(nested) => {
            assert_eq!(codes.len(), spec.block_count(), "linear4bit: number of 8-bit scales");
            AbsmaxView::Nested {
                codes: &codes,
                absmax: &absmax,
                offset: nested.offset,
                block_size: nested.block_size,
                table: nested.table,
            }
        }
    };
    let view = Packed4View {
        code: spec.code,
        block_size: spec.block_size,
        packed: &packed,
        absmax: scales,
        len: spec.len(),
    };
    f(WeightRows { out: spec.out_features, inn: spec.in_features, first: 0, stored: Stored::Packed4(view) })
}
