//! Exams: whether a model's greedy answer is right, and how likely a drawn one is, both exact and from one pass.
//!
//! An instruction has one right answer, to the byte. The greedy answer is that one if each of its tokens is the
//! likeliest after those before it, and a drawn answer is that one with the product of their probabilities. So
//! neither has to be generated, and pass@k = 1 − (1 − p)^k has no noise of drawing.

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_data::TokenizedSet;
use camelid_kernels::IGNORE_INDEX;
use camelid_lora::ForwardContext;
use camelid_model::Llama;
use camelid_model::generate::argmax;
use camelid_sandbox::pass_at_k::{Drawn, pass_at_k};
use serde::{Deserialize, Serialize};

use crate::RecipeError;

/// Temperature at which answers are drawn, as where code models are given pass@k.
pub const TEMPERATURE: f64 = 0.8;
/// Answers drawn for the larger pass@k.
pub const DRAWS: u32 = 8;
/// Instructions of a pass.
const ROWS: usize = 64;

/// What came of one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Whether the greedy answer is right.
    pub right: bool,
    /// How likely a drawn answer is right; of programs, the share of the drawn ones that passed.
    pub probability: f64,
    /// Of programs, how many were drawn and how many passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
}

impl Mark {
    /// How likely one of `draws` answers is right; where answers were drawn, the unbiased estimate. Not a number
    /// where fewer were drawn.
    pub fn pass_at(&self, draws: u32) -> f64 {
        match self.drawn {
            Some(drawn) => pass_at_k(drawn, u64::from(draws)).unwrap_or(f64::NAN),
            None => 1.0 - (1.0 - self.probability).powi(draws as i32),
        }
    }
}

/// Puts every example, an instruction with its right answer, to a model that tracks no gradients.
///
/// # Errors
/// Logits that cannot be read from the device.
pub fn sit(model: &Llama, exam: &TokenizedSet, device: &Device) -> Result<Vec<Mark>, RecipeError> {
    let mut marks = Vec::with_capacity(exam.examples.len());
    for rows in exam.examples.chunks(ROWS) {
        let width = rows.iter().map(|row| row.ids.len()).max().unwrap_or(1);
        // What stands behind a row is never looked at from within it.
        let padded = rows.iter().flat_map(|row| {
            let ids = row.ids.iter().map(|id| i64::from(*id));
            ids.chain(std::iter::repeat(0)).take(width)
        });
        let ids = TensorData::new(padded.collect::<Vec<i64>>(), [rows.len(), width]);
        let logits = model.forward(Tensor::<2, Int>::from_data(ids, device), &ForwardContext::evaluation());
        let vocabulary = logits.dims()[2];
        let logits = logits.into_data().convert::<f32>().try_into_vec::<f32>().map_err(|error| {
            RecipeError::Child {
                what: "an exam".to_owned(),
                reason: format!("logits cannot be read: {error:?}"),
            }
        })?;
        for (row, logits) in rows.iter().zip(logits.chunks(width * vocabulary)) {
            let mut mark = Mark { right: true, probability: 1.0, drawn: None };
            for (at, &label) in
                row.labels.iter().enumerate().skip(1).filter(|(_, label)| **label != IGNORE_INDEX)
            {
                let before = &logits[(at - 1) * vocabulary..at * vocabulary];
                mark.right &= i64::from(argmax(before)) == label;
                mark.probability *= probability(before, label as usize);
            }
            marks.push(mark);
        }
    }
    Ok(marks)
}

/// How likely a token is drawn at [`TEMPERATURE`].
fn probability(logits: &[f32], token: usize) -> f64 {
    let scaled = |logit: f32| f64::from(logit) / TEMPERATURE;
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| (scaled(logit) - scaled(most)).exp()).sum();
    (scaled(logits[token]) - scaled(most)).exp() / total
}
