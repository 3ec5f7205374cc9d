//! Values to compute with.

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use camelid_kernels::{ComputeType, NestedSpec, Packed4Spec, linear4bit_with};
use camelid_quant::{Absmax, QuantConfig, QuantizedTensor};

use crate::BenchError;

/// Standard normal values.
pub fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// `len` values between −0.03 and 0.03, as weights are; always the same ones.
pub(crate) fn weights(len: usize) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            // A multiplicative hash of the index: making weights must not take long.
            let hash = (i ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b1);
            let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
            ((hash >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.03
        })
        .collect()
}

/// An NF4 matrix on a device, ready for [`linear4bit_with`].
#[derive(Clone, Debug)]
pub struct Packed {
    packed: Tensor<1, Int>,
    absmax: Tensor<1>,
    absmax_codes: Option<Tensor<1, Int>>,
    spec: Packed4Spec,
}

impl Packed {
    /// Weights `[out, in]`, quantised with double quantisation.
    ///
    /// # Errors
    /// As [`QuantizedTensor::quantize`].
    pub fn random(out: usize, inn: usize, device: &Device) -> Result<Self, BenchError> {
        let q =
            QuantizedTensor::quantize("weight", &weights(out * inn), &[out, inn], &QuantConfig::default())?;
        Ok(Self::from_quantized(q, device))
    }

    /// Moves a quantised matrix onto a device.
    pub(crate) fn from_quantized(q: QuantizedTensor, device: &Device) -> Self {
        let (code, block_size) = (q.config().format.code(), q.config().block_size);
        let (out_features, in_features) = (q.shape()[0], q.shape()[1]);
        let bytes = |bytes: Vec<u8>| {
            let shape = [bytes.len()];
            Tensor::<1, Int>::from_data(TensorData::new(bytes, shape), (device, DType::U8))
        };
        let (packed, absmax) = q.into_parts();
        let (absmax, codes, nested) = match absmax {
            Absmax::Plain(absmax) => (absmax, None, None),
            Absmax::Nested { codes, absmax, offset, block_size, table } => {
                (absmax, Some(codes), Some(NestedSpec { block_size, offset, table }))
            }
        };
        let shape = [absmax.len()];
        Self {
            packed: bytes(packed),
            absmax: Tensor::from_data(TensorData::new(absmax, shape), device),
            absmax_codes: codes.map(bytes),
            spec: Packed4Spec { code, out_features, in_features, block_size, nested },
        }
    }

    /// `x·Wᵀ`.
    pub fn project<const D: usize>(&self, x: Tensor<D>, compute: ComputeType) -> Tensor<D> {
        let (packed, absmax) = (self.packed.clone(), self.absmax.clone());
        linear4bit_with(x, packed, absmax, self.absmax_codes.clone(), self.spec, compute)
    }
}
