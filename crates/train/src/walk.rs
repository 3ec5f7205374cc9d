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

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_data::Batch;
use camelid_kernels::{IGNORE_INDEX, vjp_seed};
use camelid_lora::ForwardContext;
use camelid_model::{BlockStack, RowLengths};
use camelid_paged_optim::named_trainable_params;

use crate::block_inputs::{BlockInputPaging, BlockInputs};
use crate::{StepPhase, TrainError};

/// A batch on the device, its rows end to end: padding is left out, so it costs nothing.
#[derive(Debug)]
pub struct DeviceBatch {
    ids: Tensor<2, Int>,
    labels: Tensor<2, Int>,
    rows: RowLengths,
}

impl DeviceBatch {
    /// `batch` has labels shifted to the positions that predict them; the model wants them
    /// aligned with the ids (and shifts itself), so they move one place to the right.
    pub fn new(batch: &Batch, device: &Device) -> Self {
        let mut ids: Vec<i64> = Vec::with_capacity(batch.tokens);
        let mut labels = Vec::with_capacity(batch.tokens);
        for (row, &len) in batch.lengths.iter().enumerate() {
            let start = row * batch.seq;
            ids.extend(batch.ids[start..start + len].iter().map(|id| i64::from(*id)));
            labels.push(IGNORE_INDEX);
            labels.extend_from_slice(&batch.labels[start..start + len - 1]);
        }
        let shape = [1, ids.len()];
        Self {
            ids: Tensor::from_data(TensorData::new(ids, shape), device),
            labels: Tensor::from_data(TensorData::new(labels, shape), device),
            rows: RowLengths::new(batch.lengths.clone()),
        }
    }

    /// Token ids and labels aligned with them, each `[1, positions]`, and the rows' lengths.
    pub fn into_parts(self) -> (Tensor<2, Int>, Tensor<2, Int>, RowLengths) {
        (self.ids, self.labels, self.rows)
    }

    /// Sum of the negative log-likelihoods, nothing differentiated.
    pub(crate) fn nll<M: BlockStack>(&self, model: &M) -> Result<f64, TrainError> {
        let ctx = ForwardContext::evaluation();
        let mut x = model.embed(self.ids.clone());
        for i in 0..model.num_blocks() {
            model.prepare_block(i)?;
            x = model.block_rows(i, x, &self.rows, &ctx);
        }
        scalar(model.head_loss(x, self.labels.clone()))
    }
}

/// How a walk is made.
pub(crate) struct Walk<'a> {
    /// Whether blocks are recomputed on the way back.
    pub checkpointing: bool,
    /// Where saved block inputs wait.
    pub inputs: BlockInputPaging,
    /// Told of each phase when it ends.
    pub ended: &'a mut dyn FnMut(StepPhase),
}

/// Sum of the negative log-likelihoods of the batch, and the gradients of `scale` times it with
/// respect to every trainable parameter. With `checkpointing` each block is computed again on the
/// way back instead of keeping its activations; the bits are the same.
///
/// # Errors
/// Errors of the device, and of weights that stream.
pub fn loss_and_gradients<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    ctx: &ForwardContext,
    scale: f64,
    checkpointing: bool,
) -> Result<(f64, GradientsParams), TrainError> {
    let inputs = BlockInputPaging::default();
    walked(model, batch, ctx, scale, Walk { checkpointing, inputs, ended: &mut |_| {} })
}

/// As [`loss_and_gradients`], with every choice open.
pub(crate) fn walked<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    ctx: &ForwardContext,
    scale: f64,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    if walk.checkpointing {
        return checkpointed(model, batch, ctx, scale, walk);
    }
    if model.streams() {
        return Err(TrainError::Setting {
            name: "activation_checkpointing",
            value: "false".to_owned(),
            expected: "true for a model whose weights stream from a file",
        });
    }
    at_once(model, batch, ctx, scale, walk)
}

fn at_once<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    ctx: &ForwardContext,
    scale: f64,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    let mut x = model.embed(batch.ids.clone());
    for i in 0..model.num_blocks() {
        x = model.block_rows(i, x, &batch.rows, ctx);
    }
    (walk.ended)(StepPhase::Forward);
    let nll = model.head_loss(x, batch.labels.clone());
    let value = scalar(nll.clone())?;
    (walk.ended)(StepPhase::Head);
    let grads = nll.mul_scalar(scale).backward();
    let grads = GradientsParams::from_grads(grads, model);
    (walk.ended)(StepPhase::Backward);
    Ok((value, grads))
}

fn checkpointed<M: BlockStack>(
    model: &M,
    batch: &DeviceBatch,
    ctx: &ForwardContext,
    scale: f64,
    walk: Walk<'_>,
) -> Result<(f64, GradientsParams), TrainError> {
    let embedded = model.embed(batch.ids.clone());
    let embedding_trains = embedded.is_tracked();
    let first = first_block_to_differentiate(model, embedding_trains);

    // The last block's activations are the first that the way back needs, so it runs once,
    // together with the head.
    let blocks = model.num_blocks();
    let last = if first < blocks { blocks - 1 } else { blocks };
    let (mut inputs, output) =
        block_inputs(model, embedded.clone().inner(), batch, ctx, first..last, walk.inputs)?;
    (walk.ended)(StepPhase::Forward);
    let top = Tensor::from_inner(output).require_grad();
    let mut y = top.clone();
    if last < blocks {
        model.prepare_block(last)?;
        y = model.block_rows(last, y, &batch.rows, ctx);
    }
    let nll = model.head_loss(y, batch.labels.clone());
    let value = scalar(nll.clone())?;
    let mut grads = nll.mul_scalar(scale).backward();
    let mut dy = taken(&top, &mut grads)?;
    let mut total = GradientsParams::from_module(&mut grads, model);
    (walk.ended)(StepPhase::Head);

    for i in (first..last).rev() {
        let Some(input) = inputs.pop()? else { break };
        model.prepare_block(i)?;
        let x = Tensor::from_inner(input).require_grad();
        let y = model.block_rows(i, x.clone(), &batch.rows, ctx);
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
        x = untracked.block_rows(i, Tensor::from_inner(x), &batch.rows, ctx).inner();
    }
    Ok((inputs, x))
}

fn taken(x: &Tensor<3>, grads: &mut burn::tensor::Gradients) -> Result<Tensor<3>, TrainError> {
    x.grad_remove(grads).ok_or_else(|| TrainError::Tensor {
        name: "block input".to_owned(),
        reason: "the backward pass gave it no gradient".to_owned(),
    })
}

fn scalar(loss: Tensor<1>) -> Result<f64, TrainError> {
    let value: Result<f32, _> = loss.try_into_scalar();
    value
        .map(f64::from)
        .map_err(|error| TrainError::Tensor { name: "loss".to_owned(), reason: error.to_string() })
}

/// Adds the gradients of `module`'s parameters to `to`.
pub(crate) fn add<M: Module>(module: &M, mut from: GradientsParams, to: &mut GradientsParams) {
    module.visit(&mut Add { from: &mut from, to });
}

struct Add<'a> {
    from: &'a mut GradientsParams,
    to: &'a mut GradientsParams,
}

impl ModuleVisitor for Add<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.from.remove::<D>(param.id) else { return };
        let sum = match self.to.remove::<D>(param.id) {
            Some(so_far) => so_far + grad,
            None => grad,
        };
        self.to.register(param.id, sum);
    }
}
