//! Linear layers in blocks of integers against dense ones.

use burn::tensor::{Device, Distribution, Int, Tensor};
use camelid_quant::{Format, Int8Linear, Int8Matrix, QuantConfig, QuantError, QuantizedTensor};

fn weights(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 5000.0 - 0.1).collect()
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Root of the mean square of the difference, over that of `b`.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let apart: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (apart / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

#[test]
fn outputs_are_those_of_a_dense_layer_but_for_rounding_and_gradients_are_its_own() {
    let device = Device::flex().autodiff();
    for in_features in [96, 70] {
        let matrix = Int8Matrix::quantize("w", &weights(48 * in_features), [48, in_features]).unwrap();
        let bias = Tensor::<1>::random([48], Distribution::Normal(0.0, 1.0), &device);
        let linear = Int8Linear::new(matrix, Some(bias.clone()), &device).unwrap();
        assert!(difference(&floats(linear.dequantize()), &weights(48 * in_features)) < 0.01);

        let x = Tensor::<3>::random([2, 5, in_features], Distribution::Normal(0.0, 1.0), &device);
        let target = Tensor::<3>::random([2, 5, 48], Distribution::Normal(0.0, 1.0), &device);
        let x1 = x.clone().require_grad();
        let y1 = linear.forward(x1.clone());
        let g1 = (y1.clone() * target.clone()).sum().backward();
        let x2 = x.require_grad();
        let y2 = x2.clone().matmul(linear.dequantize().transpose().unsqueeze()) + bias.unsqueeze();
        let g2 = (y2.clone() * target).sum().backward();

        assert!(difference(&floats(y1), &floats(y2)) < 0.01);
        assert!(difference(&floats(x1.grad(&g1).unwrap()), &floats(x2.grad(&g2).unwrap())) < 1e-5);
    }
}

#[test]
fn rows_are_looked_up() {
    let matrix = Int8Matrix::quantize("w", &weights(40 * 64), [40, 64]).unwrap();
    let table = Int8Linear::new(matrix, None, &Device::flex()).unwrap();
    let dense = floats(table.dequantize());
    let ids = Tensor::<2, Int>::from_data([[39, 0, 33]], &Device::flex());
    let rows = floats(table.look_up(ids));
    for (row, id) in rows.chunks(64).zip([39, 0, 33]) {
        assert_eq!(row, &dense[id * 64..(id + 1) * 64]);
    }
}

#[test]
fn an_integer_code_book_is_kept_exactly() {
    let config = QuantConfig { format: Format::Int4, block_size: 32, double_quant: false };
    // Scales of 7/4, 7/2, … are exact in f16 over the 126 steps that the book takes.
    let values: Vec<f32> = (0..8 * 64).map(|i| ((i * 5) % 15) as f32 - 7.0).map(|code| code * 4.5).collect();
    let q = QuantizedTensor::quantize("w", &values, &[8, 64], &config).unwrap();
    let int8 = Int8Linear::new(Int8Matrix::from_quantized("w", &q).unwrap(), None, &Device::flex()).unwrap();
    assert!(difference(&floats(int8.dequantize()), &q.dequantize()) < 1e-6);
}

#[test]
fn what_does_not_fit_is_named() {
    let error = Int8Matrix::quantize("w", &[1.0; 10], [2, 6]).unwrap_err();
    assert!(matches!(error, QuantError::Shape { found: 10, .. }), "{error}");
    let mut values = weights(4 * 64);
    values[64 + 40] = f32::NAN;
    let error = Int8Matrix::quantize("gate", &values, [4, 64]).unwrap_err().to_string();
    assert!(error.contains("`gate`") && error.contains("row 1, column 40"), "{error}");

    let matrix = Int8Matrix::quantize("w", &weights(4 * 64), [4, 64]).unwrap();
    let bias = Tensor::<1>::zeros([5], &Device::flex());
    let error = Int8Linear::new(matrix, Some(bias), &Device::flex()).unwrap_err();
    assert!(matches!(error, QuantError::Bias { expected: 4, found: 5 }), "{error}");
}
