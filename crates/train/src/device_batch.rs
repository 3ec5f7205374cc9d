//! A batch where the model is.

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_data::Batch;
use camelid_lora::ForwardContext;
use camelid_model::{BlockStack, CuSeqlens};

use crate::TrainError;

/// A [`Batch`] on a device: packed sequences.
#[derive(Clone, Debug)]
pub struct DeviceBatch {
    /// Token ids, `[1, tokens]`.
    pub ids: Tensor<2, Int>,
    /// Labels aligned with them, `[1, tokens]`.
    pub labels: Tensor<2, Int>,
    /// Where each sequence begins and ends.
    pub cu_seqlens: CuSeqlens,
}

impl DeviceBatch {
    /// Copies a batch to `device`.
    pub fn new(batch: &Batch, device: &Device) -> Self {
        let ids: Vec<i64> = batch.ids.iter().map(|id| i64::from(*id)).collect();
        let shape = [1, ids.len()];
        Self {
            ids: Tensor::from_data(TensorData::new(ids, shape), device),
            labels: Tensor::from_data(TensorData::new(batch.labels.clone(), shape), device),
            cu_seqlens: CuSeqlens::of_lengths(batch.lengths()),
        }
    }

    /// What the last block gives, `[1, tokens, hidden]`, computed at once. For losses without
    /// gradients call it on `model.valid()`; for those of a reference model, with a context
    /// [without adapters](ForwardContext::without_adapters).
    ///
    /// # Errors
    /// Those of weights that stream.
    pub fn hidden<M: BlockStack>(&self, model: &M, ctx: &ForwardContext) -> Result<Tensor<3>, TrainError> {
        let mut x = model.embed(self.ids.clone(), ctx);
        for i in 0..model.num_blocks() {
            model.prepare_block(i)?;
            x = model.block_varlen(i, x, &self.cu_seqlens, ctx);
        }
        Ok(x)
    }
}

/// The value of a loss.
///
/// # Errors
/// [`TrainError::Tensor`] when the device cannot give it.
pub(crate) fn scalar(loss: Tensor<1>) -> Result<f64, TrainError> {
    let value: Result<f32, _> = loss.try_into_scalar();
    value
        .map(f64::from)
        .map_err(|error| TrainError::Tensor { name: "loss".to_owned(), reason: error.to_string() })
}
