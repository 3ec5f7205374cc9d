//! linear, linear4bit and lora_update against their references.

mod checks;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_kernels::blockwise4::{self, AbsmaxView, Code4, Packed4View, Rounding};
use camelid_kernels::blockwise8::{self, Map8};
use camelid_kernels::{
    ComputeType, Dropout, NestedSpec, Packed4Spec, linear, linear_with, linear4bit_with, lora_update,
    lora_update_with, vjp_seed,
};
use checks::{bits, cases, close, device, gradient, inner, list, tensor, values, view, wide, with_threads};
use half::{bf16, f16};
use proptest::prelude::*;

/// A packed matrix with the tensors `linear4bit` takes.
struct Packed {
    packed: Vec<u8>,
    absmax: Vec<f32>,
    codes: Option<Vec<u8>>,
    spec: Packed4Spec,
}

impl Packed {
    fn new(out: usize, inn: usize, block_size: usize, nested: bool, code: Code4, seed: u64) -> Self {
        let weight = values(out * inn, seed);
        let mut packed = vec![0u8; blockwise4::packed_len(weight.len())];
        let mut absmax = vec![0f32; blockwise4::block_count(weight.len(), block_size)];
        blockwise4::quantize(code, block_size, Rounding::Cuda, &weight, &mut packed, &mut absmax);
        let mut spec = Packed4Spec { code, out_features: out, in_features: inn, block_size, nested: None };
        if !nested {
            return Self { packed, absmax, codes: None, spec };
        }
        let offset = absmax.iter().sum::<f32>() / absmax.len() as f32;
        let centred: Vec<f32> = absmax.iter().map(|a| a - offset).collect();
        let mut codes = vec![0u8; centred.len()];
        let mut nested_absmax = vec![0f32; centred.len().div_ceil(256)];
        blockwise8::quantize(
            Map8::DynamicSigned,
            256,
            Rounding::Cuda,
            &centred,
            &mut codes,
            &mut nested_absmax,
        );
        spec.nested = Some(NestedSpec { block_size: 256, offset, table: Map8::DynamicSigned.into() });
        Self { packed, absmax: nested_absmax, codes: Some(codes), spec }
    }

    fn view(&self) -> Packed4View<'_> {
        let absmax = match (&self.codes, self.spec.nested) {
            (Some(codes), Some(nested)) => AbsmaxView::Nested {
                codes,
                absmax: &self.absmax,
                offset: nested.offset,
                block_size: nested.block_size,
                table: nested.table,
            },
            _ => AbsmaxView::Plain(&self.absmax),
        };
        let Packed4Spec { code, block_size, .. } = self.spec;
        Packed4View { code, block_size, packed: &self.packed, absmax, len: self.spec.len() }
    }

    fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.apply_with(x, ComputeType::F32)
    }

    fn apply_with<const D: usize>(&self, x: Tensor<D>, compute: ComputeType) -> Tensor<D> {
        let device = x.device();
        let bytes = |b: &[u8]| {
            Tensor::<1, Int>::from_data(TensorData::new(b.to_vec(), [b.len()]), (&device, DType::U8))
        };
        let absmax = tensor(&self.absmax, [self.absmax.len()], &device);
        linear4bit_with(x, bytes(&self.packed), absmax, self.codes.as_deref().map(bytes), self.spec, compute)
    }
}

fn reference(x: &[f64], packed: &Packed) -> Vec<f64> {
    let Packed4Spec { out_features, in_features, .. } = packed.spec;
    camelid_kernels::linear4bit::reference::linear4bit(x, &packed.view(), out_features, in_features)
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn linear4bit_and_its_gradient(
        m in 1usize..12, out in 1usize..150, inn in 1usize..130, nested: bool, code in 0usize..3,
        block in prop::sample::select(vec![32usize, 64, 256]), seed in 0u64..1000,
    ) {
        let code = [Code4::Nf4, Code4::Fp4, Code4::Int4][code];
        let packed = Packed::new(out, inn, block, nested, code, seed);
        let (x, dy) = (values(m * inn, seed + 1), values(m * out, seed + 2));
        let device = device().autodiff();
        let xt = view(&x, [m, inn], &device).detach().require_grad();
        let y = packed.apply(xt.clone());
        close("y", &list(y.clone()), &reference(&wide(&x), &packed), 2e-5);
        let grads = vjp_seed(y, tensor(&dy, [m, out], &device)).backward();
        gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&reference(x, &packed), &dy));
    }

    #[test]
    fn linear_and_its_gradients(
        m in 1usize..12, out in 1usize..60, inn in 1usize..60, with_bias: bool, seed in 0u64..1000,
    ) {
        let (x, w, b) = (values(m * inn, seed), values(out * inn, seed + 1), values(out, seed + 2));
        let dy = values(m * out, seed + 3);
        let device = device().autodiff();
        let xt = view(&x, [m, inn], &device).detach().require_grad();
        let wt = view(&w, [out, inn], &device).detach().require_grad();
        let bt = tensor(&b, [out], &device).require_grad();
        let y = linear(xt.clone(), wt.clone(), with_bias.then(|| bt.clone()));
        let f = |x: &[f64], w: &[f64], b: &[f64]| {
            camelid_kernels::linear::reference::linear(x, w, with_bias.then_some(b), m, out, inn)
        };
        let (wx, ww, wb) = (wide(&x), wide(&w), wide(&b));
        close("y", &list(y.clone()), &f(&wx, &ww, &wb), 1e-5);
        let grads = vjp_seed(y, tensor(&dy, [m, out], &device)).backward();
        gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&f(x, &ww, &wb), &dy));
        gradient("dw", &list(wt.grad(&grads).unwrap()), &w, |w| inner(&f(&wx, w, &wb), &dy));
        prop_assert_eq!(bt.grad(&grads).is_some(), with_bias);
        if let Some(db) = bt.grad(&grads) {
            gradient("db", &list(db), &b, |b| inner(&f(&wx, &ww, b), &dy));
        }
    }

    #[test]
    fn lora_update_and_its_gradients(
        m in 1usize..400, out in 1usize..40, inn in 1usize..40, r in 1usize..9,
        p in prop::sample::select(vec![0.0f32, 0.1, 0.5]), seed in 0u64..1000,
    ) {
        let dropout = Dropout { p, seed };
        let factors: Vec<f64> = (0..m * inn).map(|i| f64::from(dropout.factor(i as u64))).collect();
        let (base, x) = (values(m * out, seed), values(m * inn, seed + 1));
        let (a, b, dy) = (values(r * inn, seed + 2), values(out * r, seed + 3), values(m * out, seed + 4));
        let device = device().autodiff();
        let base_t = tensor(&base, [m, out], &device).require_grad();
        let xt = view(&x, [m, inn], &device).detach().require_grad();
        let at = tensor(&a, [r, inn], &device).require_grad();
        let bt = tensor(&b, [out, r], &device).require_grad();
        let y = lora_update(base_t.clone(), xt.clone(), at.clone(), bt.clone(), 0.7, Some(dropout));
        let scale = f64::from(0.7f32);
        let f = |x: &[f64], a: &[f64], b: &[f64]| {
            camelid_kernels::lora_update::reference::lora_update(&wide(&base), x, &factors, a, b, scale, r)
        };
        let (wx, wa, wb) = (wide(&x), wide(&a), wide(&b));
        close("y", &list(y.clone()), &f(&wx, &wa, &wb), 1e-5);
        prop_assert_eq!(list(base_t.clone()), base.clone(), "a shared base stays as it was");
        let grads = vjp_seed(y, tensor(&dy, [m, out], &device)).backward();
        prop_assert_eq!(list(base_t.grad(&grads).unwrap()), dy.clone());
        gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&f(x, &wa, &wb), &dy));
        gradient("dA", &list(at.grad(&grads).unwrap()), &a, |a| inner(&f(&wx, a, &wb), &dy));
        gradient("dB", &list(bt.grad(&grads).unwrap()), &b, |b| inner(&f(&wx, &wa, b), &dy));
    }
}

/// Rounded to bfloat16.
fn rounded(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| bf16::from_f32(v).to_f64()).collect()
}

/// `[rows, cols]` to `[cols, rows]`.
fn turned(values: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..rows * cols).map(|i| values[i % rows * cols + i / rows]).collect()
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn bfloat16_products_are_those_of_rounded_operands(
        m in 5usize..40, out in 1usize..90, inn in prop::sample::select(vec![1usize, 7, 33, 64, 96, 160, 576]),
        nested: bool, seed in 0u64..1000,
    ) {
        let plain = camelid_kernels::linear::reference::linear;
        let (x, w, dy) = (values(m * inn, seed), values(out * inn, seed + 1), values(m * out, seed + 2));
        let device = device().autodiff();
        let packed = Packed::new(out, inn, 64, nested, Code4::Nf4, seed);
        let mut dequantised = vec![0f32; out * inn];
        packed.view().dequantize_range(0, &mut dequantised);
        for dense in [true, false] {
            let w = rounded(if dense { &w } else { &dequantised });
            let xt = view(&x, [m, inn], &device).detach().require_grad();
            let y = if dense {
                let w: Vec<f32> = w.iter().map(|&v| v as f32).collect();
                linear_with(xt.clone(), tensor(&w, [out, inn], &device), None, ComputeType::Bf16)
            } else {
                packed.apply_with(xt.clone(), ComputeType::Bf16)
            };
            close("y", &list(y.clone()), &plain(&rounded(&x), &w, None, m, out, inn), 2e-5);
            let grads = vjp_seed(y, tensor(&dy, [m, out], &device)).backward();
            let want = plain(&rounded(&dy), &turned(&w, out, inn), None, m, inn, out);
            close("dx", &list(xt.grad(&grads).unwrap()), &want, 2e-5);
        }
        let wt = tensor(&w, [out, inn], &device).require_grad();
        let y = linear_with(tensor(&x, [m, inn], &device), wt.clone(), None, ComputeType::Bf16);
        let grads = vjp_seed(y, tensor(&dy, [m, out], &device)).backward();
        let (xr, dyr) = (rounded(&x), rounded(&dy));
        let want = plain(&turned(&dyr, m, out), &turned(&xr, m, inn), None, out, inn, m);
        close("dw", &list(wt.grad(&grads).unwrap()), &want, 2e-5);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_batch_invariant_row_has_the_same_bits_alone_and_anywhere_in_a_batch(
        m in 1usize..70, out in 1usize..90,
        inn in prop::sample::select(vec![1usize, 7, 33, 64, 96, 160, 576, 1100]),
        r in 1usize..70, nested: bool, seed in 0u64..1000,
    ) {
        if device() != Device::flex() {
            return Ok(()); // promised on the CPU alone
        }
        let compute = ComputeType::BatchInvariant;
        let plain = camelid_kernels::linear::reference::linear;
        let (x, w, b) = (values(m * inn, seed), values(out * inn, seed + 1), values(out, seed + 2));
        let (low, high) = (values(r * inn, seed + 3), values(out * r, seed + 4));
        let device = device();
        let packed = Packed::new(out, inn, 64, nested, Code4::Nf4, seed);
        let mut dequantised = vec![0f32; out * inn];
        packed.view().dequantize_range(0, &mut dequantised);
        let dense = |dtype: DType| tensor(&w, [out, inn], &device).cast(dtype);
        // Every weight that a layer can have, and an adapter on the first.
        let layers: [&(dyn Fn(Tensor<2>) -> Tensor<2> + Sync); 5] = [
            &|x| linear_with(x, dense(DType::F32), Some(tensor(&b, [out], &device)), compute),
            &|x| linear_with(x, dense(DType::F16), None, compute),
            &|x| linear_with(x, dense(DType::BF16), None, compute),
            &|x| packed.apply_with(x, compute),
            &|x| {
                let y = linear_with(x.clone(), dense(DType::F32), None, compute);
                let (a, b) = (tensor(&low, [r, inn], &device), tensor(&high, [out, r], &device));
                lora_update_with(y, x, a, b, 0.5, None, compute)
            },
        ];
        for (i, layer) in layers.iter().enumerate() {
            let all = list(layer(tensor(&x, [m, inn], &device)));
            if i == 0 {
                close("y", &all, &plain(&wide(&x), &wide(&w), Some(&wide(&b)), m, out, inn), 2e-5);
            }
            if i == 3 {
                close("y", &all, &plain(&wide(&x), &wide(&dequantised), None, m, out, inn), 2e-5);
            }
            for (first, rows) in [(0, 1), (m - 1, 1), (m / 2, m - m / 2), (0, m.min(6))] {
                let part = tensor(&x[first * inn..(first + rows) * inn], [rows, inn], &device);
                let part = with_threads(2, || list(layer(part)));
                prop_assert_eq!(bits(&part), bits(&all[first * out..(first + rows) * out]), "layer {}", i);
            }
        }
    }
}

#[test]
fn a_bfloat16_adapter_is_close_to_an_exact_one() {
    let (m, out, inn, r) = (40, 50, 96, 8);
    let device = device().autodiff();
    let run = |compute| {
        let base = tensor(&values(m * out, 1), [m, out], &device);
        let x = tensor(&values(m * inn, 2), [m, inn], &device).require_grad();
        let a = tensor(&values(r * inn, 3), [r, inn], &device).require_grad();
        let b = tensor(&values(out * r, 4), [out, r], &device).require_grad();
        let dropout = Some(Dropout { p: 0.1, seed: 5 });
        let y = lora_update_with(base, x.clone(), a.clone(), b.clone(), 0.5, dropout, compute);
        let grads = vjp_seed(y.clone(), tensor(&values(m * out, 6), [m, out], &device)).backward();
        let grad = |t: &Tensor<2>| list(t.grad(&grads).unwrap());
        [list(y), grad(&x), grad(&a), grad(&b)]
    };
    let (exact, rounded) = (run(ComputeType::F32), run(ComputeType::Bf16));
    for (name, (rounded, exact)) in ["y", "dx", "dA", "dB"].into_iter().zip(rounded.iter().zip(&exact)) {
        close(name, rounded, &wide(exact), 1e-2);
        assert_ne!(rounded, exact, "{name} is computed from rounded operands");
    }
}

#[test]
fn decoding_rows_of_every_alignment() {
    let device = device();
    for (inn, block) in
        [(32, 64), (64, 64), (96, 64), (576, 64), (192, 128), (4096, 4096), (48, 32), (33, 32)]
    {
        for nested in [false, true] {
            for code in [Code4::Nf4, Code4::Fp4, Code4::Int4] {
                let packed = Packed::new(37, inn, block, nested, code, 9);
                for m in 1..=5 {
                    let x = values(m * inn, 2);
                    let y = list(packed.apply(tensor(&x, [m, inn], &device)));
                    close("y", &y, &reference(&wide(&x), &packed), 2e-5);
                }
            }
        }
    }
}

#[test]
fn linear4bit_over_several_tiles() {
    // 1024 rows a tile at most: three tiles, the last one partial; rows straddle blocks.
    let (m, out, inn) = (9, 2 * 1024 + 77, 33);
    let packed = Packed::new(out, inn, 64, true, Code4::Nf4, 5);
    let (x, dy) = (values(m * inn, 1), values(m * out, 2));
    let device = device().autodiff();
    let xt = tensor(&x, [3, 3, inn], &device).require_grad();
    let y = packed.apply(xt.clone());
    assert_eq!(y.dims(), [3, 3, out]);
    close("y", &list(y.clone()), &reference(&wide(&x), &packed), 1e-5);
    let grads = vjp_seed(y, tensor(&dy, [3, 3, out], &device)).backward();
    gradient("dx", &list(xt.grad(&grads).unwrap()), &x, |x| inner(&reference(x, &packed), &dy));
}

#[test]
fn decoding_rows_agree_with_a_batch() {
    let packed = Packed::new(200, 96, 64, false, Code4::Nf4, 3);
    let x = values(6 * 96, 1);
    let device = device();
    let batch = list(packed.apply(tensor(&x, [6, 96], &device)));
    for rows in 1..=4 {
        let few = list(packed.apply(tensor(&x[..rows * 96], [1, rows, 96], &device)));
        close("few rows", &few, &wide(&batch[..rows * 200]), 1e-5);
    }
}

#[test]
fn products_with_no_rows() {
    let device = device();
    let packed = Packed::new(8, 64, 64, false, Code4::Nf4, 3);
    assert_eq!(packed.apply(Tensor::<3>::zeros([2, 0, 64], &device)).dims(), [2, 0, 8]);
    let w = Tensor::zeros([8, 64], &device);
    assert_eq!(linear(Tensor::<2>::zeros([0, 64], &device), w, None).dims(), [0, 8]);
    let (a, b) = (Tensor::zeros([2, 64], &device), Tensor::zeros([8, 2], &device));
    let x = Tensor::<2>::zeros([0, 64], &device);
    let base = Tensor::<2>::zeros([0, 8], &device);
    let dropout = Some(Dropout { p: 0.1, seed: 1 });
    assert_eq!(lora_update(base, x, a, b, 1.0, dropout).dims(), [0, 8]);
}

#[test]
fn sixteen_bit_weights_are_widened() {
    let (m, out, inn) = (7, 1100, 48);
    let (x, w) = (values(m * inn, 1), values(out * inn, 2));
    let device = device().autodiff();
    for dtype in [DType::BF16, DType::F16] {
        // Narrowed here, not on the device: CubeCL's CPU runtime casts f32 to bf16 wrongly.
        let (wide_w, data): (Vec<f64>, TensorData) = match dtype {
            DType::BF16 => {
                let narrow: Vec<bf16> = w.iter().map(|&v| bf16::from_f32(v)).collect();
                (narrow.iter().map(|v| v.to_f64()).collect(), TensorData::new(narrow, [out, inn]))
            }
            _ => {
                let narrow: Vec<f16> = w.iter().map(|&v| f16::from_f32(v)).collect();
                (narrow.iter().map(|v| v.to_f64()).collect(), TensorData::new(narrow, [out, inn]))
            }
        };
        let weight = Tensor::<2>::from_data(data, (&device, dtype));
        assert_eq!(weight.dtype(), dtype);
        for rows in [1, m] {
            let x = &x[..rows * inn];
            let xt = tensor(x, [rows, inn], &device).require_grad();
            let y = linear(xt.clone(), weight.clone(), None);
            assert_eq!(y.dtype(), DType::F32);
            let f = |x: &[f64]| camelid_kernels::linear::reference::linear(x, &wide_w, None, rows, out, inn);
            close("y", &list(y.clone()), &f(&wide(x)), 1e-5);
            let dy = values(rows * out, 4);
            let grads = vjp_seed(y, tensor(&dy, [rows, out], &device)).backward();
            gradient("dx", &list(xt.grad(&grads).unwrap()), x, |x| inner(&f(x), &dy));
        }
    }
}

#[test]
fn untracked_operands_get_no_gradient() {
    let device = device().autodiff();
    let x = tensor(&values(4 * 6, 1), [4, 6], &device);
    let w = tensor(&values(3 * 6, 2), [3, 6], &device).require_grad();
    let grads = linear(x.clone(), w.clone(), None).sum().backward();
    assert!(x.grad(&grads).is_none());
    assert!(w.grad(&grads).is_some());

    let a = tensor(&values(2 * 6, 3), [2, 6], &device);
    let b = tensor(&values(3 * 2, 4), [3, 2], &device).require_grad();
    let base = tensor(&values(4 * 3, 5), [4, 3], &device);
    let grads = lora_update(base.clone(), x.clone(), a.clone(), b.clone(), 1.0, None).sum().backward();
    assert!(base.grad(&grads).is_none() && x.grad(&grads).is_none() && a.grad(&grads).is_none());
    assert!(b.grad(&grads).is_some());
}

#[test]
fn a_zero_b_passes_the_base_through_and_still_trains_b() {
    let device = device().autodiff();
    let base = values(4 * 3, 5);
    let a = tensor(&values(2 * 6, 3), [2, 6], &device).require_grad();
    let b = Tensor::<2>::zeros([3, 2], &device).require_grad();
    let x = tensor(&values(4 * 6, 1), [4, 6], &device);
    let y = lora_update(tensor(&base, [4, 3], &device), x, a.clone(), b.clone(), 1.0, None);
    assert_eq!(list(y.clone()), base);
    let grads = y.sum().backward();
    assert!(list(a.grad(&grads).unwrap()).iter().all(|&v| v == 0.0));
    assert!(list(b.grad(&grads).unwrap()).iter().any(|&v| v != 0.0));
}

#[test]
fn equal_bits_with_one_and_two_threads_and_on_every_run() {
    let packed = Packed::new(300, 160, 64, true, Code4::Nf4, 3);
    let (x, dy) = (values(160 * 160, 1), values(160 * 300, 2));
    let (a, b) = (values(8 * 160, 3), values(300 * 8, 4));
    let run = || {
        let device = device().autodiff();
        let xt = tensor(&x, [160, 160], &device).require_grad();
        let at = tensor(&a, [8, 160], &device).require_grad();
        let bt = tensor(&b, [300, 8], &device).require_grad();
        let dropout = Some(Dropout { p: 0.1, seed: 9 });
        let y = lora_update(packed.apply(xt.clone()), xt.clone(), at.clone(), bt.clone(), 0.5, dropout);
        let out = list(y.clone());
        let grads = vjp_seed(y, tensor(&dy, [160, 300], &device)).backward();
        [out, list(xt.grad(&grads).unwrap()), list(at.grad(&grads).unwrap()), list(bt.grad(&grads).unwrap())]
            .map(|v| bits(&v))
    };
    let one = with_threads(1, run);
    assert_eq!(one, with_threads(2, run));
    assert_eq!(one, with_threads(2, run));
}

#[test]
#[should_panic(expected = "absmax_codes are given exactly when spec.nested is")]
fn scales_that_do_not_fit_the_spec_are_refused() {
    let mut packed = Packed::new(8, 64, 64, true, Code4::Nf4, 3);
    packed.spec.nested = None;
    packed.apply(Tensor::<2>::zeros([1, 64], &device()));
}

#[test]
fn these_tests_pass_on_every_instruction_set() {
    checks::pass_on_every_instruction_set();
}
