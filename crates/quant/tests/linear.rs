//! Linear layers: values and gradients against dense burn operations, and what
//! training leaves alone.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Distribution, Tensor};
use camelid_quant::{
    BaseLinear, DenseLinear, Format, QuantConfig, QuantError, QuantLinear, QuantizedTensor, SourceType,
};

const CONFIGS: [QuantConfig; 4] = [
    QuantConfig { format: Format::Nf4, block_size: 64, double_quant: false },
    QuantConfig { format: Format::Nf4, block_size: 64, double_quant: true },
    QuantConfig { format: Format::Fp4, block_size: 128, double_quant: true },
    QuantConfig { format: Format::Int4, block_size: 32, double_quant: false },
];

fn weights(out_features: usize, in_features: usize) -> Vec<f32> {
    (0..out_features * in_features).map(|i| ((i * 7919) % 1009) as f32 / 5000.0 - 0.1).collect()
}

fn layer(config: &QuantConfig, out_features: usize, in_features: usize, device: &Device) -> QuantLinear {
    let values = weights(out_features, in_features);
    let q = QuantizedTensor::quantize("w", &values, &[out_features, in_features], config).unwrap();
    let bias = Tensor::<1>::random([out_features], Distribution::Normal(0.0, 1.0), device);
    QuantLinear::from_quantized(q, Some(bias), device).unwrap()
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{a} and {b}");
    }
}

#[test]
fn forward_and_input_gradient_equal_dense_operations() {
    let device = Device::flex().autodiff();
    // 70 is no multiple of a block: rows straddle blocks.
    for (config, in_features) in CONFIGS.iter().flat_map(|config| [(config, 128), (config, 70)]) {
        let linear = layer(config, 48, in_features, &device);
        let x = Tensor::<3>::random([2, 5, in_features], Distribution::Normal(0.0, 1.0), &device);
        let target = Tensor::<3>::random([2, 5, 48], Distribution::Normal(0.0, 1.0), &device);

        let x1 = x.clone().require_grad();
        let y1 = linear.forward(x1.clone());
        let g1 = (y1.clone() * target.clone()).sum().backward();

        let x2 = x.require_grad();
        let bias = linear.bias.as_ref().unwrap().val().unsqueeze();
        let y2 = x2.clone().matmul(linear.dequantize().transpose().unsqueeze()) + bias;
        let g2 = (y2.clone() * target).sum().backward();

        assert_close(&floats(y1), &floats(y2));
        assert_close(&floats(x1.grad(&g1).unwrap()), &floats(x2.grad(&g2).unwrap()));
    }
}

/// A packed layer with something trainable in front of it.
#[derive(Module, Debug)]
struct Net {
    front: DenseLinear,
    packed: BaseLinear,
}

#[test]
fn training_leaves_the_packed_weight_untouched() {
    let device = Device::flex().autodiff();
    for config in &CONFIGS {
        let front =
            DenseLinear::new(Tensor::random([128, 16], Distribution::Normal(0.0, 0.1), &device), None);
        let packed = layer(config, 24, 128, &device);
        let before = packed.to_quantized();
        let front_before = floats(front.weight.val());
        let bias_before = floats(packed.bias.as_ref().unwrap().val());
        let mut net = Net { front, packed: BaseLinear::Quant(packed) };
        let mut optimizer: ModuleOptimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let x = Tensor::<2>::random([6, 16], Distribution::Normal(0.0, 1.0), &device);
            let loss = net.packed.forward(net.front.forward(x)).square().mean();
            let grads = GradientsParams::from_grads(loss.backward(), &net);
            assert_eq!(grads.len(), 1, "only the dense weight is trained");
            net = optimizer.step(0.01, net, grads);
        }
        assert_ne!(floats(net.front.weight.val()), front_before);
        let BaseLinear::Quant(packed) = &net.packed else { panic!("still packed") };
        assert_eq!(packed.to_quantized(), before);
        assert_eq!(floats(packed.bias.as_ref().unwrap().val()), bias_before);
    }
}

#[test]
fn a_record_keeps_the_packed_bytes() {
    let device = Device::flex();
    for config in &CONFIGS {
        let linear = layer(config, 24, 64, &device);
        let before = linear.to_quantized();
        let zeros = QuantizedTensor::quantize("w", &[0.0; 24 * 64], &[24, 64], config).unwrap();
        let other = QuantLinear::from_quantized(zeros, Some(Tensor::zeros([24], &device)), &device).unwrap();
        let loaded = other.load_record(linear.clone().into_record());
        let after = loaded.to_quantized();
        assert_eq!(after.packed(), before.packed());
        if !config.double_quant {
            // The offset of double quantisation is part of the spec, not of the record.
            assert_eq!(after, before);
        }
    }
}

#[test]
fn valid_drops_autodiff_and_keeps_values() {
    let device = Device::flex().autodiff();
    let linear = BaseLinear::Quant(layer(&CONFIGS[1], 16, 64, &device));
    let valid = linear.valid();
    let x = Tensor::<2>::random([3, 64], Distribution::Normal(0.0, 1.0), &Device::flex());
    let y = valid.forward(x.clone());
    assert!(!y.is_autodiff());
    let expected = linear.forward(Tensor::<2>::from_data(x.into_data(), &device));
    assert_eq!(floats(y), floats(expected));
}

#[test]
fn to_quantized_inverts_from_quantized() {
    let device = Device::flex();
    for config in &CONFIGS {
        let q = QuantizedTensor::quantize("w", &weights(7, 33), &[7, 33], config).unwrap();
        let linear = QuantLinear::from_quantized(q.clone(), None, &device).unwrap();
        assert_eq!((linear.out_features(), linear.in_features()), (7, 33));
        assert_eq!(floats(linear.dequantize()), q.dequantize());
        assert_eq!(linear.to_quantized(), q);
    }
}

#[test]
fn half_precision_dense_weights_compute_in_f32() {
    let device = Device::flex();
    let weight = Tensor::<2>::random([8, 16], Distribution::Normal(0.0, 1.0), &device);
    let x = Tensor::<2>::random([3, 16], Distribution::Normal(0.0, 1.0), &device);
    for dtype in [DType::F16, DType::BF16] {
        let linear = DenseLinear::frozen(weight.clone().cast(dtype), None);
        assert_eq!(linear.dense_weight().dtype(), DType::F32);
        let y = linear.forward(x.clone());
        assert_close(&floats(y), &floats(x.clone().matmul(linear.dense_weight().transpose())));
    }
}

#[test]
fn what_is_no_linear_layer_is_an_error() {
    let device = Device::flex();
    let quantize = |shape: &[usize]| QuantizedTensor::quantize("w", &[0.5; 64], shape, &CONFIGS[0]).unwrap();
    let error = QuantLinear::from_quantized(quantize(&[64]), None, &device).unwrap_err();
    assert!(matches!(error, QuantError::NotMatrix { .. }), "{error}");
    let bias = Tensor::<1>::zeros([5], &device);
    let error = QuantLinear::from_quantized(quantize(&[4, 16]), Some(bias), &device).unwrap_err();
    assert!(matches!(error, QuantError::Bias { expected: 4, found: 5 }), "{error}");
}

#[test]
fn a_layer_is_quantised_from_a_tensor_of_any_float_type() {
    let device = Device::flex();
    let values = weights(6, 64);
    let dense = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([6, 64]);
    for config in &CONFIGS {
        let q = QuantizedTensor::quantize("weight", &values, &[6, 64], config).unwrap();
        let linear = QuantLinear::quantize(dense.clone(), None, config, &device).unwrap();
        assert_eq!(linear.to_quantized(), q);
        let rounded = dense.clone().cast(DType::BF16);
        let linear = QuantLinear::quantize(rounded, None, config, &device).unwrap();
        assert_eq!(linear.to_quantized().source(), SourceType::Bf16);
    }
    let nan = dense * f32::NAN;
    let error = QuantLinear::quantize(nan, None, &CONFIGS[0], &device).unwrap_err();
    assert!(matches!(error, QuantError::NotFinite { .. }), "{error}");
}
