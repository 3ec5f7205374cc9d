//! What a step minimises.

use burn::tensor::Tensor;
use camelid_data::Batch;
use camelid_lora::ForwardContext;
use camelid_model::BlockStack;

use crate::{DeviceBatch, TrainError};

/// A loss over micro-batches, for [`Step`](crate::Step).
///
/// The step walks the sequences of a micro-batch through the model's blocks, with or without
/// activation checkpointing, and hands what the last block gives to [`Objective::loss`], which it
/// differentiates. What else the loss needs of the model, such as log-likelihoods under the model
/// without its adapters, [`Objective::given`] finds beforehand.
pub trait Objective<M: BlockStack> {
    /// A micro-batch in host memory.
    type MicroBatch;
    /// What the loss needs beside the hidden states and takes as constant.
    type Given;

    /// The sequences that go through the model.
    fn sequences<'a>(&self, micro_batch: &'a Self::MicroBatch) -> &'a Batch;

    /// How many terms the loss sums up: a step divides the sum over all its micro-batches by all
    /// their terms.
    fn terms(&self, micro_batch: &Self::MicroBatch) -> usize;

    /// Finds what the loss needs beside the hidden states. `batch` holds the sequences.
    ///
    /// # Errors
    /// Errors of the device, and of weights that stream.
    fn given(
        &self,
        model: &M,
        micro_batch: &Self::MicroBatch,
        batch: &DeviceBatch,
    ) -> Result<Self::Given, TrainError>;

    /// The **sum** of the loss over the micro-batch's terms, `[1]`, from the output of the last
    /// block `hidden`, `[1, tokens, hidden]`, and in the context `ctx` that gave it.
    fn loss(
        &self,
        model: &M,
        hidden: Tensor<3>,
        batch: &DeviceBatch,
        given: &Self::Given,
        ctx: &ForwardContext,
    ) -> Tensor<1>;
}

/// Supervised fine-tuning: the negative log-likelihood of the labels, in nats; its terms are the
/// supervised tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sft;

impl<M: BlockStack> Objective<M> for Sft {
    type MicroBatch = Batch;
    type Given = ();

    fn sequences<'a>(&self, micro_batch: &'a Batch) -> &'a Batch {
        micro_batch
    }

    fn terms(&self, micro_batch: &Batch) -> usize {
        micro_batch.supervised_tokens()
    }

    fn given(&self, _model: &M, _micro_batch: &Batch, _batch: &DeviceBatch) -> Result<(), TrainError> {
        Ok(())
    }

    fn loss(
        &self,
        model: &M,
        hidden: Tensor<3>,
        batch: &DeviceBatch,
        _given: &(),
        ctx: &ForwardContext,
    ) -> Tensor<1> {
        model.head_loss(hidden, batch.labels.clone(), ctx)
    }
}
