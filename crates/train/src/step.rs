//! One optimizer step: gradients, clipping, update.

use std::time::Instant;

use burn::optim::GradientsParams;
use camelid_lora::ForwardContext;
use camelid_model::BlockStack;
use camelid_paged_optim::{PagedAdamW, clip_scale, global_norm};

use crate::gradients::add;
use crate::walk::{StepPhase, Walk, walked};
use crate::{BlockInputPaging, DeviceBatch, Objective, TrainError};

/// An optimizer step. The trainer takes each of its steps by it; so do measurements.
///
/// The loss is the mean over the terms of **all** micro-batches together ([`Objective::terms`]),
/// so that cutting a batch into micro-batches changes memory and nothing else.
#[derive(Clone, Debug)]
pub struct Step<O> {
    /// What is minimised.
    pub objective: O,
    /// Learning rate.
    pub learning_rate: f64,
    /// The gradient's global norm is clipped to this; 0 does not clip.
    pub max_grad_norm: f64,
    /// Whether blocks are recomputed on the way back instead of keeping their activations. The
    /// bits are the same.
    pub activation_checkpointing: bool,
    /// Where saved block inputs wait.
    pub block_inputs: BlockInputPaging,
}

/// A micro-batch and the seed of its dropout masks.
#[derive(Clone, Debug)]
pub struct MicroBatch<B> {
    /// What the objective is of.
    pub batch: B,
    /// Seed of the dropout masks; `None` for no dropout.
    pub dropout_seed: Option<u64>,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Stepped<M> {
    /// The model after it.
    pub model: M,
    /// The objective's mean over its terms.
    pub loss: f64,
    /// How many terms there were.
    pub terms: usize,
    /// The gradient's global norm before clipping.
    pub grad_norm: f64,
    /// Seconds of each phase, in the order in which they ended.
    pub seconds: Vec<(StepPhase, f64)>,
}

/// Sum of a loss over micro-batches and its gradients.
#[derive(Debug)]
pub struct LossAndGradients {
    /// Sum over all terms.
    pub loss_sum: f64,
    /// Number of terms.
    pub terms: usize,
    /// Gradients of `loss_sum / terms`.
    pub gradients: GradientsParams,
}

impl<O> Step<O> {
    /// Takes the step with `optim`. `ended` is told of each phase when it is over.
    ///
    /// # Errors
    /// [`TrainError::NothingSupervised`] when the objective has no terms;
    /// [`TrainError::NonFiniteStep`] when loss or gradient are not finite (nothing moved then);
    /// [`TrainError::Model`]; the optimizer's errors.
    pub fn take<M: BlockStack>(
        &self,
        model: M,
        optim: &mut PagedAdamW,
        micro_batches: &[MicroBatch<O::MicroBatch>],
        ended: &mut dyn FnMut(StepPhase),
    ) -> Result<Stepped<M>, TrainError>
    where
        O: Objective<M>,
    {
        let mut seconds = Vec::new();
        let mut started = Instant::now();
        let mut phase_ended = |phase| {
            seconds.push((phase, started.elapsed().as_secs_f64()));
            ended(phase);
            started = Instant::now();
        };
        let LossAndGradients { loss_sum, terms, mut gradients } =
            self.gradients(&model, micro_batches, &mut phase_ended)?;
        let grad_norm = global_norm(&model, &mut gradients)?;
        if !grad_norm.is_finite() {
            return Err(TrainError::NonFiniteStep {
                what: "gradient norm",
                value: grad_norm,
                micro_batch: None,
            });
        }
        let scale = match self.max_grad_norm {
            0.0 => 1.0,
            max_norm => clip_scale(grad_norm, max_norm),
        };
        let model = optim.step_module_scaled(model, &mut gradients, &|_| self.learning_rate, scale)?;
        phase_ended(StepPhase::Optimizer);
        Ok(Stepped { model, loss: loss_sum / terms as f64, terms, grad_norm, seconds })
    }

    /// The loss and its gradients, added up micro-batch by micro-batch in their order.
    ///
    /// # Errors
    /// As [`Step::take`], the optimizer's apart.
    pub fn gradients<M: BlockStack>(
        &self,
        model: &M,
        micro_batches: &[MicroBatch<O::MicroBatch>],
        ended: &mut dyn FnMut(StepPhase),
    ) -> Result<LossAndGradients, TrainError>
    where
        O: Objective<M>,
    {
        let terms: usize = micro_batches.iter().map(|micro| self.objective.terms(&micro.batch)).sum();
        if terms == 0 {
            return Err(TrainError::NothingSupervised { step: 1, examples: vec![] });
        }
        let device = model.devices().into_iter().next().unwrap_or_default();
        let (mut loss_sum, mut total) = (0.0, GradientsParams::new());
        for (i, micro) in micro_batches.iter().enumerate() {
            let batch = DeviceBatch::new(self.objective.sequences(&micro.batch), &device);
            let given = self.objective.given(model, &micro.batch, &batch)?;
            let ctx = ForwardContext { dropout_seed: micro.dropout_seed, ..ForwardContext::default() };
            let head = |hidden| self.objective.loss(model, hidden, &batch, &given, &ctx);
            let walk = Walk {
                ctx,
                scale: 1.0 / terms as f64,
                checkpointing: self.activation_checkpointing,
                inputs: self.block_inputs.clone(),
                ended: &mut *ended,
            };
            let (value, gradients) = walked(model, &batch, &head, walk)?;
            if !value.is_finite() {
                return Err(TrainError::NonFiniteStep { what: "loss", value, micro_batch: Some(i) });
            }
            loss_sum += value;
            add(model, gradients, &mut total);
        }
        Ok(LossAndGradients { loss_sum, terms, gradients: total })
    }
}
