//! The CubeCL implementation: small products whose loads apply the dropout mask, so that
//! neither the mask nor the dropped input is ever written.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::op::{LoraGrads, LoraState, LoraUpdateGrad, LoraUpdateOp, LoraWanted};
use super::{Dropout, Mask};
use crate::ComputeType;
use crate::cube::buffers::{f32s, output, rows};
use crate::cube::product::{Masked, Onto, Operand, multiply};

/// Sizes of one call: `x[m, inn]`, `A[r, inn]`, `B[out, r]`.
#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    inn: usize,
    out: usize,
    r: usize,
}

impl Sizes {
    fn of(x: &CubeTensor, a: &CubeTensor, b: &CubeTensor) -> Self {
        let (m, inn) = rows(x);
        let (a, b) = (a.shape().to_vec(), b.shape().to_vec());
        assert!(
            a.len() == 2 && b.len() == 2 && a[1] == inn && b[1] == a[0],
            "lora_update: A {a:?} and B {b:?} against rows of {inn}"
        );
        Self { m, inn, out: b[0], r: a[0] }
    }
}

/// The mask of `len` elements, and where it applies if there is one.
fn masked(dropout: Option<Dropout>, len: usize, place: Masked) -> (Masked, Option<Mask>) {
    match dropout {
        None => (Masked::Nothing, None),
        Some(dropout) => (place, Some(Mask::new(dropout, len))),
    }
}

/// `h[m, r] = drop(x)·Aᵀ`.
fn low_rank(
    x: &CubeTensor,
    a: &CubeTensor,
    sizes: Sizes,
    dropout: Option<Dropout>,
    compute: ComputeType,
) -> CubeTensor {
    let Sizes { m, inn, r, .. } = sizes;
    let h = output(x, [m, r], DType::F32);
    let (place, mask) = masked(dropout, m * inn, Masked::Left);
    let (x, a) = (Operand::new(x, inn), Operand::new(a, inn).t());
    multiply(&h, (m, r, inn), 1.0, x, a, Onto::Nothing, place, mask, compute);
    h
}

impl LoraUpdateOp for CubeBackend {
    fn lora_update_op(
        base: CubeTensor,
        x: CubeTensor,
        lora_a: CubeTensor,
        lora_b: CubeTensor,
        scale: f32,
        dropout: Option<Dropout>,
        compute: ComputeType,
    ) -> CubeTensor {
        let sizes = Sizes::of(&x, &lora_a, &lora_b);
        let Sizes { m, out, r, .. } = sizes;
        assert_eq!(rows(&base), (m, out), "lora_update: rows and columns of the base's output");
        let (x, a, b, base) = (f32s(x), f32s(lora_a), f32s(lora_b), f32s(base));
        let h = low_rank(&x, &a, sizes, dropout, compute);
        let (h, b) = (Operand::new(&h, r), Operand::new(&b, r).t());
        if base.can_mut() {
            multiply(&base, (m, out, r), scale, h, b, Onto::Itself, Masked::Nothing, None, compute);
            return base;
        }
        let y = output(&base, base.shape(), DType::F32);
        multiply(&y, (m, out, r), scale, h, b, Onto::Other(&base), Masked::Nothing, None, compute);
        y
    }
}

impl LoraUpdateGrad for CubeBackend {
    fn lora_update_grads(
        dy: CubeTensor,
        state: LoraState<CubeTensor>,
        wanted: LoraWanted,
    ) -> LoraGrads<CubeTensor> {
        let LoraState { x, lora_a, lora_b, scale, dropout, compute } = state;
        let sizes = Sizes::of(&x, &lora_a, &lora_b);
        let Sizes { m, inn, out, r } = sizes;
        let x_shape = x.shape();
        let (dy, x, a, b) = (f32s(dy), f32s(x), f32s(lora_a), f32s(lora_b));
        let dy_rows = Operand::new(&dy, out);

        // dB = scale · dyᵀ · h
        let db = wanted.lora_b.then(|| {
            let h = low_rank(&x, &a, sizes, dropout, compute);
            let db = output(&dy, [out, r], DType::F32);
            let h = Operand::new(&h, r);
            multiply(&db, (out, r, m), scale, dy_rows.t(), h, Onto::Nothing, Masked::Nothing, None, compute);
            db
        });
        if !wanted.x && !wanted.lora_a {
            return LoraGrads { x: None, lora_a: None, lora_b: db };
        }

        // g = dh = scale · dy · B
        let g = output(&dy, [m, r], DType::F32);
        let b = Operand::new(&b, r);
        multiply(&g, (m, r, out), scale, dy_rows, b, Onto::Nothing, Masked::Nothing, None, compute);
        let g = Operand::new(&g, r);

        // dA = gᵀ · drop(x)
        let da = wanted.lora_a.then(|| {
            let da = output(&dy, [r, inn], DType::F32);
            let (place, mask) = masked(dropout, m * inn, Masked::Right);
            multiply(
                &da,
                (r, inn, m),
                1.0,
                g.t(),
                Operand::new(&x, inn),
                Onto::Nothing,
                place,
                mask,
                compute,
            );
            da
        });

        // dx = drop(g · A)
        let dx = wanted.x.then(|| {
            let dx = output(&dy, x_shape, DType::F32);
            let (place, mask) = masked(dropout, m * inn, Masked::Result);
            multiply(&dx, (m, inn, r), 1.0, g, Operand::new(&a, inn), Onto::Nothing, place, mask, compute);
            dx
        });
        LoraGrads { x: dx, lora_a: da, lora_b: db }
    }
}
