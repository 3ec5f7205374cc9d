//! Held-out loss.

use camelid_data::{Batch, TokenizedSet};
use camelid_lora::ForwardContext;
use camelid_model::BlockStack;
use serde::{Deserialize, Serialize};

use crate::device_batch::scalar;
use crate::{DeviceBatch, TrainError};

/// Loss of a model on a set, per supervised token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalLoss {
    /// Sum of the negative log-likelihoods, in nats.
    pub nll_sum: f64,
    /// Tokens it sums over.
    pub tokens: usize,
    /// `nll_sum / tokens`.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
}

/// Loss of a model on one example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleLoss {
    /// The example's id.
    pub id: String,
    /// Sum of the negative log-likelihoods, in nats.
    pub nll: f64,
    /// Supervised tokens it sums over.
    pub tokens: usize,
}

/// Loss of `model` on each example of `set`, one at a time, so that two models can be compared
/// example by example. Without dropout and without gradients.
///
/// # Errors
/// [`TrainError::EmptyData`] when no token of the set carries loss; errors of the device.
pub fn example_losses<M: BlockStack>(model: &M, set: &TokenizedSet) -> Result<Vec<ExampleLoss>, TrainError> {
    let model = model.valid();
    let device = model.devices().into_iter().next().unwrap_or_default();
    let mut losses = Vec::with_capacity(set.examples.len());
    for example in set.examples.iter().filter(|e| !e.ids.is_empty()) {
        let batch = Batch::packed(&[example])?;
        let tokens = batch.supervised_tokens();
        if tokens > 0 {
            let nll = nll(&model, &DeviceBatch::new(&batch, &device))?;
            losses.push(ExampleLoss { id: example.id.clone(), nll, tokens });
        }
    }
    if losses.is_empty() { Err(TrainError::EmptyData) } else { Ok(losses) }
}

/// Loss of `model` on every example of `set`, `batch` of them at once, without dropout and
/// without gradients. Examples are taken by length, the longest first, so that what does not fit into
/// memory shows at once; the sum runs in a fixed order.
///
/// # Errors
/// [`TrainError::EmptyData`] when no token of the set carries loss; errors of the device.
pub fn evaluate<M: BlockStack>(model: &M, set: &TokenizedSet, batch: usize) -> Result<EvalLoss, TrainError> {
    let model = model.valid();
    let device = model.devices().into_iter().next().unwrap_or_default();
    let mut examples: Vec<_> = set.examples.iter().filter(|e| !e.ids.is_empty()).collect();
    examples.sort_by_key(|example| std::cmp::Reverse(example.ids.len()));
    let (mut nll_sum, mut tokens) = (0.0, 0);
    for group in examples.chunks(batch.max(1)) {
        let batch = Batch::packed(group)?;
        if batch.supervised_tokens() > 0 {
            nll_sum += nll(&model, &DeviceBatch::new(&batch, &device))?;
            tokens += batch.supervised_tokens();
        }
    }
    if tokens == 0 {
        return Err(TrainError::EmptyData);
    }
    let loss = nll_sum / tokens as f64;
    Ok(EvalLoss { nll_sum, tokens, loss, perplexity: loss.exp() })
}

/// Sum of the negative log-likelihoods of a batch's labels.
fn nll<M: BlockStack>(model: &M, batch: &DeviceBatch) -> Result<f64, TrainError> {
    let ctx = ForwardContext::evaluation();
    let hidden = batch.hidden(model, &ctx)?;
    scalar(model.head_loss(hidden, batch.labels.clone(), &ctx))
}
