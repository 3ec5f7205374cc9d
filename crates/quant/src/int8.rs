//! Weights in 8-bit or 4-bit blocks for products of integers: fast inference on the CPU.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_kernels::blockwise4::AbsmaxView;
use camelid_kernels::{
    INT8_BLOCK, Int8Codes, Int8Packer, Int8Spec, embedding_int8, linear_int8, signed_table,
};
use half::f16;

use crate::linear::{bytes, bytes_param};
use crate::{QuantError, QuantizedTensor};

/// A matrix `[out_features, in_features]` in the blocks that [`Int8Linear`] multiplies with.
#[derive(Debug)]
pub struct Int8Matrix {
    spec: Int8Spec,
    packed: TensorData,
}

impl Int8Matrix {
    /// Rounds values to 8 bits in blocks of 32 along each row, with a scale in f16: 8.5 bits a value.
    /// `name` appears in errors only.
    ///
    /// # Errors
    /// [`QuantError::Shape`] when the shape does not describe the values, [`QuantError::Int8Range`]
    /// for a value that is not finite or beyond the scales' range (8.3 million).
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use camelid_quant::{Int8Linear, Int8Matrix};
    ///
    /// # fn main() -> Result<(), camelid_quant::QuantError> {
    /// let matrix = Int8Matrix::quantize("weight", &[0.5; 4 * 64], [4, 64])?;
    /// let linear = Int8Linear::new(matrix, None, &Device::flex())?;
    /// let y = linear.forward(Tensor::<2>::ones([1, 64], &Device::flex()));
    /// assert_eq!(y.dims(), [1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn quantize(name: &str, values: &[f32], shape: [usize; 2]) -> Result<Self, QuantError> {
        let [out_features, in_features] = shape;
        if out_features.checked_mul(in_features) != Some(values.len()) {
            let shape = shape.to_vec();
            return Err(QuantError::Shape { tensor: name.to_owned(), shape, found: values.len() });
        }
        let spec = Int8Spec { codes: Int8Codes::Bytes, out_features, in_features };
        let mut packer = Int8Packer::new(spec);
        for (row, values) in values.chunks(in_features.max(1)).enumerate() {
            packer.quantize_row(row, values).map_err(|column| QuantError::Int8Range {
                tensor: name.to_owned(),
                row,
                column,
                value: values[column],
            })?;
        }
        Ok(packer.into())
    }

    /// Takes the 4-bit codes of a matrix over as they are, the code book rounded to 8 bits and a
    /// scale to f16. Where blocks straddle rows, the values are rounded to 8 bits instead.
    ///
    /// # Errors
    /// [`QuantError::NotMatrix`] unless the tensor has two dimensions, and as
    /// [`Int8Matrix::quantize`].
    pub fn from_quantized(name: &str, q: &QuantizedTensor) -> Result<Self, QuantError> {
        let &[out_features, in_features] = q.shape() else {
            return Err(QuantError::NotMatrix { shape: q.shape().to_vec() });
        };
        let block_size = q.config().block_size;
        if !in_features.is_multiple_of(INT8_BLOCK) || !block_size.is_multiple_of(INT8_BLOCK) {
            return Self::quantize(name, &q.dequantize(), [out_features, in_features]);
        }
        let (table, steps) = signed_table(q.config().format.code().table());
        let codes = Int8Codes::Nibbles { table, minima: false };
        let mut packer = Int8Packer::new(Int8Spec { codes, out_features, in_features });
        let scales: AbsmaxView<'_> = q.absmax().view();
        let blocks = q.packed().chunks_exact(INT8_BLOCK / 2).enumerate();
        for (i, bytes) in blocks {
            let (row, block) = (i * INT8_BLOCK / in_features, i * INT8_BLOCK % in_features / INT8_BLOCK);
            let absmax = scales.get(i * INT8_BLOCK / block_size);
            let scale = f16::from_f32(absmax / steps);
            if !scale.is_finite() {
                let (tensor, column) = (name.to_owned(), block * INT8_BLOCK);
                return Err(QuantError::Int8Range { tensor, row, column, value: absmax });
            }
            let codes =
                std::array::from_fn(|i| if i % 2 == 0 { bytes[i / 2] >> 4 } else { bytes[i / 2] & 15 });
            packer.block(row, block, scale, f16::ZERO, &codes);
        }
        Ok(packer.into())
    }

    /// What the bytes mean.
    pub fn spec(&self) -> Int8Spec {
        self.spec
    }
}

/// What was packed block by block, as from a file whose blocks are the same.
impl From<Int8Packer> for Int8Matrix {
    fn from(packer: Int8Packer) -> Self {
        Self { spec: packer.spec(), packed: packer.finish() }
    }
}

/// `y = round(x)·Wᵀ + b` by products of integers; see [`linear_int8()`].
///
/// For inference: the weight is frozen, `x` is rounded to 8 bits in blocks of 32. A row of `x` gives the
/// same bits alone and among others. The bytes are laid out for this machine's kernels and are no
/// format for files. On the CPU (flex) alone.
#[derive(Module, Debug)]
pub struct Int8Linear {
    packed: Param<Tensor<1, Int>>,
    /// `[out_features]`, frozen.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    spec: Int8Spec,
}

impl Int8Linear {
    /// Moves a matrix onto a device.
    ///
    /// # Errors
    /// [`QuantError::Bias`] if the bias is not `[out_features]`.
    pub fn new(matrix: Int8Matrix, bias: Option<Tensor<1>>, device: &Device) -> Result<Self, QuantError> {
        let Int8Matrix { spec, packed } = matrix;
        let found = bias.as_ref().map(|bias| bias.dims()[0]);
        if let Some(found) = found.filter(|&found| found != spec.out_features) {
            return Err(QuantError::Bias { expected: spec.out_features, found });
        }
        Ok(Self {
            packed: bytes_param(packed, device),
            bias: bias.map(|bias| Param::from_tensor(bias).set_require_grad(false)),
            spec,
        })
    }

    /// `[.., in_features]` to `[.., out_features]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let y = linear_int8(x, self.packed.val(), self.spec);
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// The rows named by `ids`, `[batch, seq]`, as those of an embedding: `[batch, seq, in_features]`.
    ///
    /// # Panics
    /// When an id is not below `out_features`.
    pub fn look_up(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        embedding_int8(self.packed.val(), ids, self.spec)
    }

    /// The whole weight as dense f32 `[out_features, in_features]`.
    pub fn dequantize(&self) -> Tensor<2> {
        let packed = bytes(self.packed.val());
        let Int8Spec { out_features, in_features, .. } = self.spec;
        let mut dense = vec![0f32; out_features * in_features];
        for (row, values) in dense.chunks_mut(in_features.max(1)).enumerate() {
            camelid_kernels::linear_int8::reference::dequantize_row(&packed, &self.spec, row, values);
        }
        Tensor::from_data(TensorData::new(dense, [out_features, in_features]), &self.packed.val().device())
    }

    /// What the packed bytes mean.
    pub fn spec(&self) -> Int8Spec {
        self.spec
    }

    /// Where the weight is.
    pub fn device(&self) -> Device {
        self.packed.val().device()
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
