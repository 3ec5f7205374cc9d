//! Linear layers over dense and packed weights, as burn modules.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use camelid_kernels::{ComputeType, NestedSpec, Packed4Spec};
use half::{bf16, f16};

use crate::{
    Absmax, Format, Int8Linear, QuantConfig, QuantError, QuantizeOptions, QuantizedTensor, SourceType,
};

/// `y = x·Wᵀ + b` over a dense weight.
///
/// The weight may be f32 (trainable or frozen), or f16 / bf16 (frozen; the
/// product widens it and computes in f32).
#[derive(Module, Debug)]
pub struct DenseLinear {
    /// `[out_features, in_features]`.
    pub weight: Param<Tensor<2>>,
    /// `[out_features]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    compute_type: ComputeType,
}

impl DenseLinear {
    /// Wraps a weight `[out_features, in_features]` and a bias; both trainable.
    pub fn new(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        DenseLinear {
            weight: Param::from_tensor(weight),
            bias: bias.map(Param::from_tensor),
            compute_type: ComputeType::F32,
        }
    }

    /// The same with weight and bias that receive no gradient.
    pub fn frozen(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        DenseLinear {
            weight: Param::from_tensor(weight).set_require_grad(false),
            bias: bias.map(|bias| Param::from_tensor(bias).set_require_grad(false)),
            compute_type: ComputeType::F32,
        }
    }

    /// The same of given parameters, as they are.
    pub fn from_params(weight: Param<Tensor<2>>, bias: Option<Param<Tensor<1>>>) -> Self {
        DenseLinear { weight, bias, compute_type: ComputeType::F32 }
    }

    /// Chooses how the operands of the products are rounded; f32 unless set.
    pub fn set_compute_type(&mut self, compute_type: ComputeType) {
        self.compute_type = compute_type;
    }

    /// `[.., in_features]` to `[.., out_features]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        camelid_kernels::linear_with(x, self.weight.val(), bias, self.compute_type)
    }

    /// Columns of the weight.
    pub fn in_features(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Rows of the weight.
    pub fn out_features(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The weight as f32.
    pub fn dense_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        if weight.dtype() == DType::F32 { weight } else { weight.cast(DType::F32) }
    }
}

/// The bytes of a packed weight, for [`QuantLinear::from_packed_parts`].
#[derive(Debug)]
pub struct PackedParts {
    /// U8: the codes, two to a byte.
    pub packed: TensorData,
    /// f32: one scale per block, or with double quantisation one per nested block.
    pub absmax: TensorData,
    /// U8: one code per block, with double quantisation.
    pub absmax_codes: Option<TensorData>,
}

/// `y = x·Wᵀ + b` over a weight packed to 4 bits.
///
/// Forward and input gradient dequantise tile by tile: nothing dense of the
/// weight's shape exists. Codes and scales are frozen parameters, so they travel
/// with the module's record, and no optimizer touches them. What they mean does
/// not: format, shape and the offset of double quantisation are settings of the
/// layer, so a record belongs into a layer made from the same weight.
#[derive(Module, Debug)]
pub struct QuantLinear {
    packed: Param<Tensor<1, Int>>,
    absmax: Param<Tensor<1>>,
    absmax_codes: Option<Param<Tensor<1, Int>>>,
    /// `[out_features]`, frozen.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    spec: Packed4Spec,
    #[module(skip)]
    source: SourceType,
    #[module(skip)]
    compute_type: ComputeType,
}

impl QuantLinear {
    /// Quantises a weight `[out_features, in_features]` of f32, f16 or bf16 and moves it onto a
    /// device; the weight's own type is kept as [`SourceType`].
    ///
    /// # Errors
    /// As [`QuantizedTensor::quantize`] and [`QuantLinear::from_quantized`].
    ///
    /// # Panics
    /// If the weight's data cannot be read back from its device.
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use camelid_quant::{QuantConfig, QuantLinear};
    ///
    /// # fn main() -> Result<(), camelid_quant::QuantError> {
    /// let device = Device::flex();
    /// let weight = Tensor::<2>::full([4, 64], 0.5, &device);
    /// let linear = QuantLinear::quantize(weight, None, &QuantConfig::default(), &device)?;
    /// let y = linear.forward(Tensor::<2>::ones([1, 64], &device));
    /// assert_eq!(y.dims(), [1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn quantize(
        weight: Tensor<2>,
        bias: Option<Tensor<1>>,
        config: &QuantConfig,
        device: &Device,
    ) -> Result<Self, QuantError> {
        let shape = weight.dims();
        let options = QuantizeOptions::default();
        let data = weight.into_data();
        let q = match data.dtype() {
            DType::F16 => {
                let values = data.try_into_vec::<f16>().expect("f16 as the data say");
                QuantizedTensor::quantize_with("weight", values.as_slice(), &shape, config, &options)
            }
            DType::BF16 => {
                let values = data.try_into_vec::<bf16>().expect("bf16 as the data say");
                QuantizedTensor::quantize_with("weight", values.as_slice(), &shape, config, &options)
            }
            _ => {
                let values = floats(data.convert::<f32>());
                QuantizedTensor::quantize_with("weight", values.as_slice(), &shape, config, &options)
            }
        }?;
        Self::from_quantized(q, bias, device)
    }

    /// Moves a quantised `[out_features, in_features]` matrix onto a device.
    ///
    /// # Errors
    /// [`QuantError::NotMatrix`] unless the tensor has two dimensions,
    /// [`QuantError::Bias`] if the bias is not `[out_features]`.
    pub fn from_quantized(
        q: QuantizedTensor,
        bias: Option<Tensor<1>>,
        device: &Device,
    ) -> Result<Self, QuantError> {
        let &[out_features, in_features] = q.shape() else {
            return Err(QuantError::NotMatrix { shape: q.shape().to_vec() });
        };
        if let Some(found) = bias.as_ref().map(|bias| bias.dims()[0]).filter(|&found| found != out_features) {
            return Err(QuantError::Bias { expected: out_features, found });
        }
        let config = *q.config();
        let source = q.source();
        let (packed, absmax) = q.into_parts();
        let (absmax, codes, nested) = match absmax {
            Absmax::Plain(absmax) => (absmax, None, None),
            Absmax::Nested { codes, absmax, offset, block_size, table } => {
                (absmax, Some(codes), Some(NestedSpec { block_size, offset, table }))
            }
        };
        let spec = Packed4Spec {
            code: config.format.code(),
            out_features,
            in_features,
            block_size: config.block_size,
            nested,
        };
        let run = |bytes: Vec<u8>| {
            let count = bytes.len();
            TensorData::new(bytes, [count])
        };
        let count = absmax.len();
        let parts = PackedParts {
            packed: run(packed),
            absmax: TensorData::new(absmax, [count]),
            absmax_codes: codes.map(run),
        };
        Ok(QuantLinear::from_packed_parts(spec, source, parts, bias, device))
    }

    /// A layer over packed bytes wherever they are: on the CPU they are used in place, so the
    /// data of a mapped file stay in the file.
    ///
    /// # Panics
    /// When a part's type or length does not follow from `spec`.
    pub fn from_packed_parts(
        spec: Packed4Spec,
        source: SourceType,
        parts: PackedParts,
        bias: Option<Tensor<1>>,
        device: &Device,
    ) -> Self {
        let PackedParts { packed, absmax, absmax_codes } = parts;
        assert_eq!(packed.num_elements(), spec.packed_len(), "bytes of packed codes");
        assert_eq!(absmax.num_elements(), spec.absmax_len(), "number of f32 scales");
        let codes = absmax_codes.as_ref().map(TensorData::num_elements);
        assert_eq!(codes, spec.nested.map(|_| spec.block_count()), "number of 8-bit scales");
        let absmax = Tensor::from_data(absmax, (device, DType::F32));
        QuantLinear {
            packed: bytes_param(packed, device),
            absmax: Param::from_tensor(absmax).set_require_grad(false),
            absmax_codes: absmax_codes.map(|codes| bytes_param(codes, device)),
            bias: bias.map(|bias| Param::from_tensor(bias).set_require_grad(false)),
            spec,
            source,
            compute_type: ComputeType::F32,
        }
    }

    /// Chooses how the operands of the products are rounded; f32 unless set.
    pub fn set_compute_type(&mut self, compute_type: ComputeType) {
        self.compute_type = compute_type;
    }

    /// `[.., in_features]` to `[.., out_features]`. Gradients flow to `x` (and to
    /// a bias that was made trainable), never to the packed weight.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let codes = self.absmax_codes.as_ref().map(Param::val);
        let (packed, absmax) = (self.packed.val(), self.absmax.val());
        let y = camelid_kernels::linear4bit_with(x, packed, absmax, codes, self.spec, self.compute_type);
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// Copies the packed weight back off the device, bit for bit.
    pub fn to_quantized(&self) -> QuantizedTensor {
        let absmax = floats(self.absmax.val().into_data());
        let (absmax, double_quant) = match (&self.absmax_codes, self.spec.nested) {
            (Some(codes), Some(NestedSpec { block_size, offset, table })) => {
                (Absmax::Nested { codes: bytes(codes.val()), absmax, offset, block_size, table }, true)
            }
            _ => (Absmax::Plain(absmax), false),
        };
        let config = QuantConfig {
            format: Format::from(self.spec.code),
            block_size: self.spec.block_size,
            double_quant,
        };
        let shape = vec![self.spec.out_features, self.spec.in_features];
        QuantizedTensor::from_parts("weight", shape, config, self.source, bytes(self.packed.val()), absmax)
            .expect("the parts of a constructed layer fit each other")
    }

    /// The whole weight as dense f32 `[out_features, in_features]`.
    pub fn dequantize(&self) -> Tensor<2> {
        let shape = [self.spec.out_features, self.spec.in_features];
        Tensor::from_data(
            TensorData::new(self.to_quantized().dequantize(), shape),
            &self.packed.val().device(),
        )
    }

    /// What the packed bytes mean.
    pub fn spec(&self) -> Packed4Spec {
        self.spec
    }

    /// Columns of the weight.
    pub fn in_features(&self) -> usize {
        self.spec.in_features
    }

    /// Rows of the weight.
    pub fn out_features(&self) -> usize {
        self.spec.out_features
    }
}

pub(crate) fn bytes_param(bytes: TensorData, device: &Device) -> Param<Tensor<1, Int>> {
    Param::initialized(ParamId::new(), Tensor::from_data(bytes, (device, DType::U8)))
}

/// The bytes of a U8 tensor.
pub(crate) fn bytes(tensor: Tensor<1, Int>) -> Vec<u8> {
    tensor.into_data().as_bytes().to_vec()
}

/// The values of f32 data.
fn floats(data: TensorData) -> Vec<f32> {
    data.try_into_vec().expect("f32 as the data say")
}

/// The weight under an adapter: dense, packed, or in blocks for products of integers.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // a module enum holds its variants unboxed
pub enum BaseLinear {
    /// A dense weight.
    Dense(DenseLinear),
    /// A weight packed to 4 bits.
    Quant(QuantLinear),
    /// A weight in blocks of integers, for inference.
    Int8(Int8Linear),
}

impl BaseLinear {
    /// `[.., in_features]` to `[.., out_features]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            BaseLinear::Dense(linear) => linear.forward(x),
            BaseLinear::Quant(linear) => linear.forward(x),
            BaseLinear::Int8(linear) => linear.forward(x),
        }
    }

    /// Chooses how the operands of the products are rounded; f32 unless set.
    pub fn set_compute_type(&mut self, compute_type: ComputeType) {
        match self {
            BaseLinear::Dense(linear) => linear.set_compute_type(compute_type),
            BaseLinear::Quant(linear) => linear.set_compute_type(compute_type),
            // Integers are what it computes in.
            BaseLinear::Int8(_) => {}
        }
    }

    /// Columns of the weight.
    pub fn in_features(&self) -> usize {
        match self {
            BaseLinear::Dense(linear) => linear.in_features(),
            BaseLinear::Quant(linear) => linear.in_features(),
            BaseLinear::Int8(linear) => linear.in_features(),
        }
    }

    /// Rows of the weight.
    pub fn out_features(&self) -> usize {
        match self {
            BaseLinear::Dense(linear) => linear.out_features(),
            BaseLinear::Quant(linear) => linear.out_features(),
            BaseLinear::Int8(linear) => linear.out_features(),
        }
    }

    /// The weight as dense f32 `[out_features, in_features]`; dequantised with the
    /// very scales (doubly quantised or not) that [`BaseLinear::forward`] uses.
    pub fn dense_weight(&self) -> Tensor<2> {
        match self {
            BaseLinear::Dense(linear) => linear.dense_weight(),
            BaseLinear::Quant(linear) => linear.dequantize(),
            BaseLinear::Int8(linear) => linear.dequantize(),
        }
    }
}
