//! The flex backend's implementation.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use rayon::prelude::*;

use super::Dropout;
use super::op::{LoraGrads, LoraState, LoraUpdateGrad, LoraUpdateOp, LoraWanted};
use crate::flex_slices::{F32s, dims, f32_tensor, own_buffer, rows};
use crate::lanes::vectorised;
use crate::product::{ComputeType, Matrix, MatrixMut, Rhs, Update, multiply_with, product};

/// Rows of `x` whose dropped copy exists at a time.
const CHUNK_ROWS: usize = 256;

/// Sizes of one call: `x[m, inn]`, `A[r, inn]`, `B[out, r]`.
#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    inn: usize,
    out: usize,
    r: usize,
}

impl Sizes {
    fn of(x: &FlexTensor, a: &FlexTensor, b: &FlexTensor) -> Self {
        let (m, inn) = rows(x);
        let (a, b) = (dims(a), dims(b));
        assert!(
            a.len() == 2 && b.len() == 2 && a[1] == inn && b[1] == a[0],
            "lora_update: A {a:?} and B {b:?} against rows of {inn}"
        );
        Self { m, inn, out: b[0], r: a[0] }
    }
}

impl LoraUpdateOp for Flex {
    fn lora_update_op(
        base: FlexTensor,
        x: FlexTensor,
        lora_a: FlexTensor,
        lora_b: FlexTensor,
        scale: f32,
        dropout: Option<Dropout>,
        compute: ComputeType,
    ) -> FlexTensor {
        let sizes = Sizes::of(&x, &lora_a, &lora_b);
        assert_eq!(rows(&base), (sizes.m, sizes.out), "lora_update: rows and columns of the base's output");
        assert_eq!(base.dtype(), DType::F32, "the operation computes in f32");
        let (x, a, b) = (F32s::new(&x), F32s::new(&lora_a), F32s::new(&lora_b));
        let h = low_rank(&x, &a, sizes, dropout, compute);
        let mut base = own_buffer(base);
        multiply_with(
            MatrixMut::new(base.storage_mut::<f32>(), sizes.m, sizes.out),
            Update::Add,
            scale,
            Matrix::new(&h, sizes.m, sizes.r),
            Rhs::Dense(Matrix::new(&b, sizes.out, sizes.r).t()),
            compute,
        );
        base
    }
}

impl LoraUpdateGrad for Flex {
    fn lora_update_grads(
        dy: FlexTensor,
        state: LoraState<FlexTensor>,
        wanted: LoraWanted,
    ) -> LoraGrads<FlexTensor> {
        let LoraState { x, lora_a, lora_b, scale, dropout, compute } = state;
        let sizes = Sizes::of(&x, &lora_a, &lora_b);
        let Sizes { m, inn, out, r } = sizes;
        let x_shape = dims(&x);
        let (dy, x, a, b) = (F32s::new(&dy), F32s::new(&x), F32s::new(&lora_a), F32s::new(&lora_b));
        let dy = Matrix::new(&dy, m, out);

        // dB = scale · dyᵀ · h
        let db = wanted.lora_b.then(|| {
            let h = low_rank(&x, &a, sizes, dropout, compute);
            let db = product(scale, dy.t(), Rhs::Dense(Matrix::new(&h, m, r)), compute);
            f32_tensor(db, [out, r])
        });
        if !wanted.x && !wanted.lora_a {
            return LoraGrads { x: None, lora_a: None, lora_b: db };
        }

        // g = dh = scale · dy · B
        let g = product(scale, dy, Rhs::Dense(Matrix::new(&b, out, r)), compute);

        // dA = gᵀ · drop(x)
        let da = wanted.lora_a.then(|| {
            let mut da = vec![0f32; r * inn];
            for_each_dropped_chunk(&x, inn, dropout, |first, x| {
                let rows = x.len() / inn.max(1);
                multiply_with(
                    MatrixMut::new(&mut da, r, inn),
                    if first == 0 { Update::Replace } else { Update::Add },
                    1.0,
                    Matrix::new(&g[first * r..], rows, r).t(),
                    Rhs::Dense(Matrix::new(x, rows, inn)),
                    compute,
                );
            });
            f32_tensor(da, [r, inn])
        });

        // dx = drop(g · A)
        let dx = wanted.x.then(|| {
            let mut dx = product(1.0, Matrix::new(&g, m, r), Rhs::Dense(Matrix::new(&a, r, inn)), compute);
            if let Some(dropout) = dropout {
                drop_elements(&mut dx, 0, dropout);
            }
            f32_tensor(dx, x_shape)
        });
        LoraGrads { x: dx, lora_a: da, lora_b: db }
    }
}

/// `h[m, r] = drop(x)·Aᵀ`.
fn low_rank(x: &[f32], a: &[f32], sizes: Sizes, dropout: Option<Dropout>, compute: ComputeType) -> Vec<f32> {
    let Sizes { m, inn, r, .. } = sizes;
    let mut h = vec![0f32; m * r];
    for_each_dropped_chunk(x, inn, dropout, |first, x| {
        let rows = x.len() / inn.max(1);
        multiply_with(
            MatrixMut::new(&mut h[first * r..], rows, r),
            Update::Replace,
            1.0,
            Matrix::new(x, rows, inn),
            Rhs::Dense(Matrix::new(a, r, inn).t()),
            compute,
        );
    });
    h
}

/// Calls `f(first row, rows of drop(x))`: once with `x` itself when nothing is
/// dropped, else chunk by chunk with a reused copy.
fn for_each_dropped_chunk(x: &[f32], inn: usize, dropout: Option<Dropout>, mut f: impl FnMut(usize, &[f32])) {
    let Some(dropout) = dropout else { return f(0, x) };
    let mut buffer = vec![0f32; (CHUNK_ROWS * inn).min(x.len())];
    for (i, x) in x.chunks((CHUNK_ROWS * inn).max(1)).enumerate() {
        let dropped = &mut buffer[..x.len()];
        dropped.copy_from_slice(x);
        let first = i * CHUNK_ROWS;
        drop_elements(dropped, (first * inn) as u64, dropout);
        f(first, dropped);
    }
}

/// Applies the mask to `values`, whose first one is element `start` of `x`.
fn drop_elements(values: &mut [f32], start: u64, dropout: Dropout) {
    const EACH: usize = 4096;
    values.par_chunks_mut(EACH).enumerate().for_each(|(i, values)| {
        vectorised(
            #[inline(always)]
            || dropout.apply(values, start + (i * EACH) as u64),
        );
    });
}
