//! Quantising and dequantising tensors, held to the plain forms.

mod checks;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_kernels::NestedSpec;
use camelid_kernels::blockwise4::{self, AbsmaxView, Code4, Packed4Spec, Packed4View, Rounding};
use camelid_kernels::blockwise8::{self, Map8};
use checks::{bits, cases, device, list, tensor, values, view};
use proptest::prelude::*;

const CODES: [Code4; 3] = [Code4::Nf4, Code4::Fp4, Code4::Int4];

fn byte_tensor(bytes: &[u8], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(bytes.to_vec(), [bytes.len()]), (device, DType::U8))
}

fn byte_list(tensor: Tensor<1, Int>) -> Vec<u8> {
    assert_eq!(tensor.dtype(), DType::U8);
    tensor.into_data().try_to_vec::<u8>().expect("U8")
}

/// Codes, scales and dense values of a matrix by the references.
struct Packed {
    packed: Vec<u8>,
    absmax: Vec<f32>,
    codes: Option<Vec<u8>>,
    spec: Packed4Spec,
    dense: Vec<f32>,
}

fn pack(out: usize, inn: usize, block_size: usize, nested: bool, code: Code4, seed: u64) -> Packed {
    let weight = values(out * inn, seed);
    let mut packed = vec![0u8; blockwise4::packed_len(weight.len())];
    let mut absmax = vec![0f32; blockwise4::block_count(weight.len(), block_size)];
    blockwise4::reference::quantize(code, block_size, Rounding::Cuda, &weight, &mut packed, &mut absmax);
    let mut spec = Packed4Spec { code, out_features: out, in_features: inn, block_size, nested: None };
    let mut codes = None;
    if nested {
        let offset = absmax.iter().sum::<f32>() / absmax.len() as f32;
        let centred: Vec<f32> = absmax.iter().map(|a| a - offset).collect();
        let (mut eight, mut scales) = (vec![0u8; centred.len()], vec![0f32; centred.len().div_ceil(256)]);
        blockwise8::quantize(Map8::DynamicSigned, 256, Rounding::Cuda, &centred, &mut eight, &mut scales);
        spec.nested = Some(NestedSpec { block_size: 256, offset, table: Map8::DynamicSigned.into() });
        absmax = scales;
        codes = Some(eight);
    }
    let scales = match (&codes, spec.nested) {
        (Some(codes), Some(nested)) => {
            let NestedSpec { block_size, offset, table } = nested;
            AbsmaxView::Nested { codes, absmax: &absmax, offset, block_size, table }
        }
        _ => AbsmaxView::Plain(&absmax),
    };
    let view = Packed4View { code, block_size, packed: &packed, absmax: scales, len: weight.len() };
    let mut dense = vec![0f32; weight.len()];
    blockwise4::reference::dequantize_range(&view, 0, &mut dense);
    Packed { packed, absmax, codes, spec, dense }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_tensor_dequantises_as_the_reference(
        out in 1usize..90, inn in 1usize..90, nested: bool, code in 0usize..3,
        block in prop::sample::select(vec![32usize, 64, 256]), seed in 0u64..1000,
    ) {
        let want = pack(out, inn, block, nested, CODES[code], seed);
        let device = device();
        let got = blockwise4::dequantize_tensor(
            byte_tensor(&want.packed, &device),
            tensor(&want.absmax, [want.absmax.len()], &device),
            want.codes.as_deref().map(|codes| byte_tensor(codes, &device)),
            want.spec,
        );
        prop_assert_eq!(got.dims(), [out, inn]);
        match want.spec.nested {
            None => prop_assert_eq!(bits(&list(got)), bits(&want.dense)),
            // A device may fuse the product and the sum that make a scale, and so round once.
            Some(nested) => {
                for (got, want) in list(got).into_iter().zip(want.dense) {
                    prop_assert!((got - want).abs() <= nested.offset * 2f32.powi(-22), "{got} for {want}");
                }
            }
        }
    }

    #[test]
    fn a_tensor_quantises_as_the_reference(
        rows in 1usize..40, cols in 1usize..40, code in 0usize..3, bnb_cpu: bool,
        block in prop::sample::select(vec![32usize, 64, 256, 4096]), seed in 0u64..1000,
    ) {
        let rounding = if bnb_cpu { Rounding::BnbCpu } else { Rounding::Cuda };
        let mut weight = values(rows * cols, seed);
        // Extreme values: zeros of both signs, a subnormal, an infinity, no number.
        let special = [0.0, -0.0, 1e-40, f32::INFINITY, f32::NAN, -1e30];
        for (i, value) in special.into_iter().enumerate().take(seed as usize % 7) {
            let at = (seed as usize * 31 + i * 97) % weight.len();
            weight[at] = value;
        }
        let device = device();
        let (packed, absmax) =
            blockwise4::quantize_tensor(view(&weight, [rows, cols], &device), CODES[code], block, rounding);
        let mut want_packed = vec![0u8; blockwise4::packed_len(weight.len())];
        let mut want = vec![0f32; blockwise4::block_count(weight.len(), block)];
        blockwise4::reference::quantize(CODES[code], block, rounding, &weight, &mut want_packed, &mut want);
        prop_assert_eq!(byte_list(packed), want_packed);
        for (got, want) in list(absmax).into_iter().zip(want) {
            prop_assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{got} for {want}");
        }
    }

    #[test]
    fn scales_nest_as_the_reference(
        count in 1usize..1000, block in prop::sample::select(vec![64usize, 256]), equal: bool, seed in 0u64..1000,
    ) {
        let mut absmax: Vec<f32> = values(count, seed).iter().map(|v| v.abs()).collect();
        if equal {
            absmax.fill(0.25); // all centred scales are then 0
        }
        let offset = if equal { 0.25 } else { absmax.iter().sum::<f32>() / count as f32 };
        let nested = NestedSpec { block_size: block, offset, table: Map8::DynamicSigned.into() };
        let (codes, scales) = blockwise4::nest_scales_tensor(tensor(&absmax, [count], &device()), nested);
        let centred: Vec<f32> = absmax.iter().map(|a| a - offset).collect();
        let (mut want_codes, mut want) = (vec![0u8; count], vec![0f32; count.div_ceil(block)]);
        let map = Map8::DynamicSigned;
        blockwise8::reference::quantize(map, block, Rounding::Cuda, &centred, &mut want_codes, &mut want);
        prop_assert_eq!(byte_list(codes), want_codes);
        prop_assert_eq!(bits(&list(scales)), bits(&want));
    }
}

#[test]
fn an_empty_tensor_has_no_blocks() {
    let (packed, absmax) =
        blockwise4::quantize_tensor(Tensor::<2>::zeros([0, 5], &device()), Code4::Nf4, 64, Rounding::Cuda);
    assert_eq!((packed.dims(), absmax.dims()), ([0], [0]));
}
