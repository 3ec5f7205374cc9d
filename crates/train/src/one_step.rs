//! One optimizer step by itself, without a run around it: for measurements.

use std::time::Instant;

use camelid_data::Batch;
use camelid_lora::ForwardContext;
use camelid_model::BlockStack;
use camelid_paged_optim::{PagedAdamW, clip_scale, global_norm};
use serde::Serialize;

use crate::walk::{DeviceBatch, Walk, walked};
use crate::{BlockInputPaging, TrainError};

/// The phases of a step, in order.
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

/// Settings of [`one_step`].
#[derive(Clone, Debug)]
pub struct OneStepOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// The gradient's global norm is clipped to this.
    pub max_grad_norm: f64,
    /// Seed of the dropout masks.
    pub dropout_seed: u64,
    /// Whether blocks are recomputed on the way back.
    pub activation_checkpointing: bool,
    /// Where saved block inputs wait.
    pub block_inputs: BlockInputPaging,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct OneStep<M> {
    /// The model after it.
    pub model: M,
    /// Mean negative log-likelihood of the supervised tokens, in nats.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub grad_norm: f64,
    /// Seconds of each phase.
    pub seconds: Vec<(StepPhase, f64)>,
}

/// One step of `optim` on one batch; `ended` is told of each phase when it is over.
///
/// # Errors
/// [`TrainError::NothingSupervised`], [`TrainError::Tensor`] when loss or gradient are not finite
/// (nothing moved then), [`TrainError::Model`], and the optimizer's errors.
pub fn one_step<M: BlockStack>(
    model: M,
    optim: &mut PagedAdamW,
    batch: &Batch,
    options: &OneStepOptions,
    ended: &mut dyn FnMut(StepPhase),
) -> Result<OneStep<M>, TrainError> {
    let supervised = batch.supervised_tokens;
    if supervised == 0 {
        return Err(TrainError::NothingSupervised { step: 1, examples: vec![] });
    }
    let device = model.devices().into_iter().next().unwrap_or_default();
    let mut seconds = Vec::new();
    let mut started = Instant::now();
    let mut phase_ended = |phase| {
        seconds.push((phase, started.elapsed().as_secs_f64()));
        ended(phase);
        started = Instant::now();
    };
    let walk = Walk {
        checkpointing: options.activation_checkpointing,
        inputs: options.block_inputs.clone(),
        ended: &mut phase_ended,
    };
    let ctx = ForwardContext::training(options.dropout_seed);
    let on_device = DeviceBatch::new(batch, &device);
    let (nll, mut grads) = walked(&model, &on_device, &ctx, 1.0 / supervised as f64, walk)?;
    finite("loss", nll)?;
    let grad_norm = global_norm(&model, &mut grads)?;
    finite("gradient norm", grad_norm)?;
    let scale = clip_scale(grad_norm, options.max_grad_norm);
    let model = optim.step_module_scaled(model, &mut grads, &|_| options.learning_rate, scale)?;
    phase_ended(StepPhase::Optimizer);
    Ok(OneStep { model, loss: nll / supervised as f64, grad_norm, seconds })
}

fn finite(name: &str, value: f64) -> Result<(), TrainError> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(TrainError::Tensor { name: name.to_owned(), reason: format!("it is {value}") }),
    }
}
