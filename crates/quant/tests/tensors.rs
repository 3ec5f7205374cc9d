//! Sizes, errors and laws of quantised tensors.

use camelid_kernels::blockwise8::Map8;
use camelid_quant::{
    Absmax, Format, OnNonFinite, QuantConfig, QuantError, QuantizeOptions, QuantizedTensor, SourceType,
    quantization_error,
};
use half::{bf16, f16};
use proptest::prelude::*;

/// A normal sample of standard deviation 0.02: hashed uniforms through Box and
/// Muller's transform.
fn weights(count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|i| {
            let (u, v) = (uniform(2 * i), uniform(2 * i + 1));
            ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos() * 0.02) as f32
        })
        .collect()
}

/// SplitMix64's output function, into (0, 1).
fn uniform(index: u64) -> f64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 1e-17
}

fn config(format: Format, block_size: usize, double_quant: bool) -> QuantConfig {
    QuantConfig { format, block_size, double_quant }
}

#[test]
fn bits_per_parameter_are_the_papers() {
    assert_eq!(config(Format::Nf4, 64, false).bits_per_parameter(), 4.5);
    assert_eq!(config(Format::Nf4, 64, true).bits_per_parameter(), 4.126_953_125);
    let values = weights(512 * 512);
    let plain =
        QuantizedTensor::quantize("w", &values, &[512, 512], &config(Format::Nf4, 64, false)).unwrap();
    assert_eq!(plain.bits_per_parameter(), 4.5);
    let nested = QuantizedTensor::quantize("w", &values, &[512, 512], &QuantConfig::default()).unwrap();
    // The one f32 offset of the tensor is counted too.
    assert_eq!(nested.bits_per_parameter(), 4.126_953_125 + 32.0 / (512.0 * 512.0));
}

#[test]
fn nf4_loses_least_on_normal_weights() {
    let values = weights(1 << 16);
    let error = |format| quantization_error(&values, &config(format, 64, false)).unwrap();
    let (nf4, fp4, int4) = (error(Format::Nf4), error(Format::Fp4), error(Format::Int4));
    assert!(nf4.rmse < fp4.rmse && nf4.rmse < int4.rmse, "{nf4:?} {fp4:?} {int4:?}");
    assert!(nf4.relative > 0.05 && nf4.relative < 0.12, "{nf4:?}");
    let nested = quantization_error(&values, &config(Format::Nf4, 64, true)).unwrap();
    assert!(nested.relative < nf4.relative * 1.02, "{nested:?}");
}

#[test]
fn zeros_have_no_error() {
    let error = quantization_error(&[0.0; 100], &QuantConfig::default()).unwrap();
    assert_eq!((error.rmse, error.relative, error.max_abs), (0.0, 0.0, 0.0));
}

#[test]
fn block_sizes_outside_32_to_4096_are_errors() {
    for block_size in [0, 1, 16, 48, 100, 8192] {
        let error =
            QuantizedTensor::quantize("w", &[0.0; 64], &[64], &config(Format::Nf4, block_size, false));
        assert!(matches!(error, Err(QuantError::BlockSize { found }) if found == block_size));
    }
    for block_size in [32, 64, 128, 256, 512, 1024, 2048, 4096] {
        assert!(
            QuantizedTensor::quantize("w", &[0.0; 64], &[64], &config(Format::Nf4, block_size, true)).is_ok()
        );
    }
}

#[test]
fn a_shape_that_does_not_fit_is_an_error() {
    let error = QuantizedTensor::quantize("w", &[0.0; 64], &[3, 22], &QuantConfig::default()).unwrap_err();
    assert_eq!(error.to_string(), "tensor `w`: shape [3, 22] does not describe 64 values");
    let huge = [usize::MAX, 2];
    assert!(matches!(
        QuantizedTensor::quantize("w", &[0.0; 64], &huge, &QuantConfig::default()),
        Err(QuantError::Shape { .. })
    ));
}

#[test]
fn a_non_finite_weight_is_named_with_its_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.5; 6 * 40];
        values[3 * 40 + 7] = bad;
        let error =
            QuantizedTensor::quantize("blk.q", &values, &[6, 40], &QuantConfig::default()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("`blk.q`") && message.contains("index 127") && message.contains("[3, 7]"),
            "{message}"
        );
    }
}

#[test]
fn saturation_is_there_for_the_asking() {
    let mut values = vec![0.5; 64];
    values[1] = f32::NAN;
    values[2] = f32::NEG_INFINITY;
    let options = QuantizeOptions { on_non_finite: OnNonFinite::Saturate, ..Default::default() };
    let plain = config(Format::Nf4, 64, false);
    let q = QuantizedTensor::quantize_with("w", &values[..], &[64], &plain, &options).unwrap();
    assert_eq!(q.dequantize()[..4], [0.5, 0.0, -0.5, 0.5]);
}

#[test]
fn half_tensors_with_non_finite_values_are_refused_or_saturated_like_f32() {
    let config = config(Format::Nf4, 32, false);
    let mut values = [f16::from_f32(0.5); 70];
    values[40] = f16::NEG_INFINITY;
    let options = QuantizeOptions::default();
    let error = QuantizedTensor::quantize_with("w", &values[..], &[7, 10], &config, &options).unwrap_err();
    assert!(matches!(error, QuantError::NotFinite { index: 40, .. }), "{error}");
    let options = QuantizeOptions { on_non_finite: OnNonFinite::Saturate, ..options };
    let q = QuantizedTensor::quantize_with("w", &values[..], &[7, 10], &config, &options).unwrap();
    assert_eq!(q.source(), SourceType::F16);
    assert_eq!(q.dequantize()[39..42], [0.5, -0.5, 0.5]);
}

#[test]
fn an_unknown_setting_is_refused() {
    let parsed: QuantConfig = serde_json::from_str(r#"{"format":"fp4","block_size":128}"#).unwrap();
    assert_eq!(parsed, config(Format::Fp4, 128, true));
    assert!(serde_json::from_str::<QuantConfig>(r#"{"blocksize":128}"#).is_err());
    assert!(serde_json::from_str::<QuantConfig>(r#"{"format":"nf8"}"#).is_err());
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let q = QuantizedTensor::quantize("w", &[0.5; 96], &[96], &config(Format::Nf4, 32, false)).unwrap();
    let build = |packed: usize, scales: usize, double_quant| {
        QuantizedTensor::from_parts(
            "w",
            vec![96],
            config(Format::Nf4, 32, double_quant),
            SourceType::F32,
            vec![0; packed],
            Absmax::Plain(vec![1.0; scales]),
        )
    };
    assert_eq!(q.packed().len(), 48);
    assert!(build(48, 3, false).is_ok());
    assert!(build(47, 3, false).is_err());
    assert!(build(48, 2, false).is_err());
    assert!(build(48, 3, true).is_err());
}

/// How far each of these scales may be from its stored form: not at all, or, doubly quantised,
/// half the widest gap of the signed 8-bit map times its nested block's scale.
fn scale_bounds(scales: &[f32], stored: &Absmax) -> Vec<f32> {
    let Absmax::Nested { offset, block_size, .. } = stored else { return vec![0.0; scales.len()] };
    let table = Map8::DynamicSigned.table();
    let gap = table.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f32::max);
    let bound_of = |nested: &[f32]| {
        let scale = nested.iter().fold(0f32, |m, absmax| m.max((absmax - offset).abs()));
        vec![gap / 2.0 * scale + 1e-6; nested.len()]
    };
    scales.chunks(*block_size).flat_map(bound_of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_shape_round_trips_within_the_bound(
        shape in prop::collection::vec(0usize..9, 1..5),
        format in prop::sample::select(vec![Format::Nf4, Format::Fp4, Format::Int4]),
        block_size in prop::sample::select(vec![32usize, 64, 4096]),
        double_quant: bool,
        seed in 0usize..1000,
    ) {
        let len: usize = shape.iter().product();
        let values = weights(seed + len).split_off(seed);
        let config = config(format, block_size, double_quant);
        let q = QuantizedTensor::quantize("w", &values, &shape, &config).unwrap();
        prop_assert_eq!(q.shape(), &shape[..]);
        prop_assert_eq!(q.nbytes(), config.bytes_for(&shape));
        let restored = q.dequantize();
        prop_assert_eq!(restored.len(), len);

        let largest = |block: &[f32]| block.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scales: Vec<f32> = values.chunks(block_size).map(largest).collect();
        let bounds = scale_bounds(&scales, q.absmax());
        let gap = format.code().widest_gap() / 2.0 + 1e-6;
        let blocks = values.chunks(block_size).zip(restored.chunks(block_size));
        for (i, (block, restored)) in blocks.enumerate() {
            let moved = (q.view().absmax.get(i) - scales[i]).abs();
            prop_assert!(moved <= bounds[i], "scale {} of {i} moved by {moved}", scales[i]);
            for (value, restored) in block.iter().zip(restored) {
                prop_assert!((value - restored).abs() <= gap * scales[i] + moved);
            }
        }
        if !double_quant {
            let again = QuantizedTensor::quantize("w", &restored, &shape, &config).unwrap();
            prop_assert_eq!(again.dequantize(), restored);
        }
    }

    #[test]
    fn half_inputs_quantise_as_their_widened_values(values in prop::collection::vec(-4f32..4.0, 1..200)) {
        let config = QuantConfig::default();
        let options = QuantizeOptions::default();
        let shape = [values.len()];
        let (h, b): (Vec<f16>, Vec<bf16>) = values.iter().map(|&v| (f16::from_f32(v), bf16::from_f32(v))).unzip();
        let widened: Vec<f32> = h.iter().map(|v| v.to_f32()).collect();
        let from_half = QuantizedTensor::quantize_with("w", &h[..], &shape, &config, &options).unwrap();
        let from_wide = QuantizedTensor::quantize("w", &widened, &shape, &config).unwrap();
        prop_assert_eq!(from_half.packed(), from_wide.packed());
        prop_assert_eq!(from_half.absmax(), from_wide.absmax());
        prop_assert_eq!(from_half.source(), SourceType::F16);
        let from_bf16 = QuantizedTensor::quantize_with("w", &b[..], &shape, &config, &options).unwrap();
        prop_assert_eq!(from_bf16.source(), SourceType::Bf16);

        let full = from_wide.dequantize();
        let halves: Vec<f16> = full.iter().map(|&v| f16::from_f32(v)).collect();
        let brains: Vec<bf16> = full.iter().map(|&v| bf16::from_f32(v)).collect();
        prop_assert_eq!(from_wide.dequantize_f16(), halves);
        prop_assert_eq!(from_wide.dequantize_bf16(), &brains[..]);
        let (mut out, mut out_bf16) = (vec![f32::NAN; values.len()], vec![bf16::NAN; values.len()]);
        from_wide.dequantize_into(&mut out).unwrap();
        from_wide.dequantize_into(&mut out_bf16).unwrap();
        prop_assert_eq!((out, out_bf16), (full, brains));
        let short = from_wide.dequantize_into(&mut [0f32; 0]);
        let refused = matches!(short, Err(QuantError::Shape { found: 0, .. }));
        prop_assert!(refused);
    }
}
