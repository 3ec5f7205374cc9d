//! Loss and gradients of one micro-batch, with or without activation checkpointing.
//!
//! Checkpointing (Chen et al. 2016, one segment per block): walk forward through the blocks
//! keeping each block's input alone; differentiate the head; walk back, recomputing one block at
//! a time from its input and handing its output gradient to the backward pass. At any moment one
//! block's activations exist.
//!
//! Both ways give the same bits: the walk forward runs the very operations of the recompute, on
//! a copy of the model in which nothing requires a gradient, and dropout is a function of the
//! seed.

use std::ops::Range;

use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};
use camelid_kernels::vjp_seed;
use camelid_lora::ForwardContext;
use camelid_model::BlockStack;
use camelid_paged_optim::named_trainable_params;
use serde::Serialize;

use crate::block_inputs::{BlockInputPaging, BlockInputs};
use crate::device_batch::scalar;
use crate::gradients::add;
use crate::{DeviceBatch, TrainError};

/// The phases of a step, in order; with several micro-batches the first three repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepPhase {
    /// Embedding and blocks.
    Forward,
    /// Final norm, head and loss; with activation checkpointing their gradient too.
    Head,
    /// The way back through the blocks, their recomputation included.
    Backward,
    /// Clipping and the update.
    Optimizer,
}

/// How a walk is made.
pub(crate) struct Walk<'a> {
    pub ctx: ForwardContext,
    /// Factor on the loss before it is differentiated.
    pub scale: f64,
    /// Whether blocks are recomputed on the way back.
    pub checkpointing: bool,
    /// Where saved block inputs wait.
    pub inputs: BlockInputPaging,
    /// Told of each phase when it ends.
    pub ended: &'a mut dyn FnMut(StepPhase),
}

/// The loss that `head` computes from the last block's output, and the gradients of `scale` times
/// it with respect to every trainable parameter.
///
/// # Errors
/// Errors of the device, and of weights that stream.
pub(crate) fn walked<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    head: &dyn Fn(Tensor<3>) -> Tensor<1>,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    if walk.checkpointing {
        return checkpointed(model, batch, head, walk);
    }
    if model.streams() {
        return Err(TrainError::Setting {
            name: "activation_checkpointing",
            value: "false".to_owned(),
            expected: "true for a model whose weights stream from a file",
        });
    }
    at_once(model, batch, head, walk)
}

fn at_once<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    head: &dyn Fn(Tensor<3>) -> Tensor<1>,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    let mut x = model.embed(batch.ids.clone(), &walk.ctx);
    for i in 0..model.num_blocks() {
        x = model.block_varlen(i, x, &batch.cu_seqlens, &walk.ctx);
    }
    (walk.ended)(StepPhase::Forward);
    let loss = head(x);
    let value = scalar(loss.clone())?;
    (walk.ended)(StepPhase::Head);
    let grads = loss.mul_scalar(walk.scale).backward();
    let grads = GradientsParams::from_grads(grads, model);
    (walk.ended)(StepPhase::Backward);
    Ok((value, grads))
}

fn checkpointed<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    head: &dyn Fn(Tensor<3>) -> Tensor<1>,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    let embedded = model.embed(batch.ids.clone(), &walk.ctx);
    let embedding_trains = embedded.is_tracked();
    let first = first_block_to_differentiate(model, embedding_trains);

    // The last block's activations are the first that the way back needs, so it runs once,
    // together with the head.
    let blocks = model.num_blocks();
    let last = if first < blocks { blocks - 1 } else { blocks };
    let (mut inputs, output) =
        block_inputs(model, embedded.clone().inner(), batch, &walk.ctx, first..last, walk.inputs)?;
    (walk.ended)(StepPhase::Forward);
    let top = Tensor::from_inner(output).require_grad();
    let mut y = top.clone();
    if last < blocks {
        model.prepare_block(last)?;
        y = model.block_varlen(last, y, &batch.cu_seqlens, &walk.ctx);
    }
    let loss = head(y);
    let value = scalar(loss.clone())?;
    let mut grads = loss.mul_scalar(walk.scale).backward();
    let mut dy = taken(&top, &mut grads)?;
    let mut total = GradientsParams::from_module(&mut grads, model);
    (walk.ended)(StepPhase::Head);

    for i in (first..last).rev() {
        let Some(input) = inputs.pop()? else { break };
        model.prepare_block(i)?;
        let x = Tensor::from_inner(input).require_grad();
        let y = model.block_varlen(i, x.clone(), &batch.cu_seqlens, &walk.ctx);
        let mut grads = vjp_seed(y, dy).backward();
        dy = taken(&x, &mut grads)?;
        let block = &model.blocks()[i];
        add(block, GradientsParams::from_module(&mut grads, block), &mut total);
    }
    if embedding_trains {
        let mut grads = vjp_seed(embedded, dy).backward();
        add(model, GradientsParams::from_module(&mut grads, model), &mut total);
    }
    (walk.ended)(StepPhase::Backward);
    Ok((value, total))
}

/// Blocks below the lowest trainable parameter need no way back.
fn first_block_to_differentiate<M: BlockStack>(model: &M, embedding_trains: bool) -> usize {
    if embedding_trains {
        return 0;
    }
    let trains = |block: &M::Block| !named_trainable_params(block).is_empty();
    model.blocks().iter().position(trains).unwrap_or(model.num_blocks())
}

/// The inputs of the blocks of `kept`, and what comes out of the last of them; the blocks before
/// them run as well.
fn block_inputs<M: BlockStack>(
    model: &M,
    embedded: Tensor<3>,
    batch: &DeviceBatch,
    ctx: &ForwardContext,
    kept: Range<usize>,
    paging: BlockInputPaging,
) -> Result<(BlockInputs, Tensor<3>), TrainError> {
    let untracked = model.clone().no_grad();
    let mut x = embedded;
    let mut inputs = BlockInputs::new(paging);
    for i in 0..kept.end {
        if kept.contains(&i) {
            inputs.push(x.clone())?;
        }
        model.prepare_block(i)?;
        x = untracked.block_varlen(i, Tensor::from_inner(x), &batch.cu_seqlens, ctx).inner();
    }
    Ok((inputs, x))
}

fn taken(x: &Tensor<3>, grads: &mut Gradients) -> Result<Tensor<3>, TrainError> {
    x.grad_remove(grads).ok_or_else(|| TrainError::Tensor {
        name: "block input".to_owned(),
        reason: "the backward pass gave it no gradient".to_owned(),
    })
}
