//! The untuned base in one storage format: what a tuned arm is compared with.

use std::sync::atomic::{AtomicBool, Ordering};

use camelid_eval::exact_match::Marked;
use camelid_model::LoadedTensor;
use camelid_quant::{QuantConfig, QuantizedTensor, quantization_error};
use camelid_train::{ExampleLoss, example_losses};
use serde::{Deserialize, Serialize};

use super::Study;
use crate::scores::token_mean;
use crate::{Arm, BaseFormat, RecipeError, Stored};

/// The untuned base in one storage format.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Untuned {
    /// E.g. `nf4-dq`.
    pub name: String,
    /// Bits per parameter of the packed layers, constants included; 32 or 16 when dense.
    pub bits: f64,
    /// Bits per parameter of the constants alone.
    pub constant_bits: f64,
    /// RMS error over RMS of each packed layer; empty when dense.
    pub layer_errors: Vec<f64>,
    /// Test loss, one entry a conversation.
    pub losses: Vec<ExampleLoss>,
    /// Loss on held-out text of the base's own kind.
    pub text_losses: Vec<ExampleLoss>,
    /// Answers to the questions.
    pub answers: Vec<Marked>,
    /// Replies to the sample prompts.
    pub samples: Vec<String>,
    /// Bytes of the weights as held.
    pub weight_bytes: u64,
}

impl Study {
    /// Measures the untuned base in each of `formats` and in those that `arms` start from, reusing
    /// what an earlier run measured. Questions are put only to the latter. `None` when interrupted.
    ///
    /// # Errors
    /// Weights that cannot be loaded or packed, a disk that is full.
    pub fn untuned(
        &self,
        formats: &[BaseFormat],
        arms: &[impl Arm],
        interrupted: &AtomicBool,
    ) -> Result<Option<Vec<Untuned>>, RecipeError> {
        let started_from: Vec<BaseFormat> = arms.iter().map(|arm| self.format_of(arm)).collect();
        let mut all = formats.to_vec();
        for format in &started_from {
            if !all.contains(format) {
                all.push(*format);
            }
        }
        let mut outcomes: Vec<Untuned> = Vec::new();
        for format in all {
            if interrupted.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let asks = started_from.contains(&format);
            let packing = self.packing(format);
            let name = format.name();
            let settings = format!("format = {name}\npacking = {packing:?}\nasked = {asks}");
            let key = self.comparison.key(&["format", &settings]);
            let path = self.comparison.folder.join("formats").join(format!("{name}-{}.json", &key[..8]));
            let outcome = match Stored::reuse(&path, &key) {
                Some(outcome) => outcome,
                None => {
                    let outcome = self.measure(format, asks)?;
                    Stored { key, settings, outcome: outcome.clone() }.keep(&path)?;
                    outcome
                }
            };
            println!(
                "{:<16} {:.3} bits/parameter, untuned loss {:.4} on text, {:.4} on conversations",
                outcome.name,
                outcome.bits,
                token_mean(&outcome.text_losses),
                token_mean(&outcome.losses)
            );
            outcomes.push(outcome);
        }
        Ok(Some(outcomes))
    }

    fn packing(&self, format: BaseFormat) -> Option<QuantConfig> {
        format.packing(self.comparison.experiment.quant.unwrap_or_default().block_size)
    }

    fn measure(&self, format: BaseFormat, asks: bool) -> Result<Untuned, RecipeError> {
        let packing = match self.packing(format) {
            Some(config) => self.packed(&config)?,
            None => Packing { bits: format.dense_bits(), constant_bits: 0.0, layer_errors: Vec::new() },
        };
        let model = self.base(format)?;
        let losses = example_losses(&model, &self.test)?;
        let name = format.name();
        Ok(Untuned {
            bits: packing.bits,
            constant_bits: packing.constant_bits,
            layer_errors: packing.layer_errors,
            text_losses: match &self.text {
                Some(text) => example_losses(&model, text)?,
                None => losses.clone(),
            },
            losses,
            answers: if asks { self.answers(&model, &format!("untuned {name}"))? } else { Vec::new() },
            samples: if asks { self.replies(&model)? } else { Vec::new() },
            weight_bytes: model.weights_nbytes() as u64,
            name,
        })
    }

    /// Packs every linear layer and compares it with the original.
    fn packed(&self, config: &QuantConfig) -> Result<Packing, RecipeError> {
        let weights = self.opened.weights()?;
        let (mut parameters, mut bytes, mut constant_bytes) = (0, 0, 0);
        let mut layer_errors = Vec::new();
        for linear in weights.config()?.linear_shapes() {
            let name = format!("{}.weight", linear.path);
            let LoadedTensor::Dense { shape, values, .. } = weights.read(&name)? else {
                return Err(RecipeError::Base {
                    base: self.comparison.experiment.model.base.clone(),
                    reason: format!("{name} is stored packed: its original is not there to compare with"),
                });
            };
            let packed = QuantizedTensor::quantize(&name, &values, &shape, config)?;
            parameters += values.len();
            bytes += packed.nbytes();
            constant_bytes += packed.nbytes() - packed.packed().len();
            layer_errors.push(quantization_error(&values, config)?.relative);
        }
        let bits = |bytes: usize| 8.0 * bytes as f64 / parameters as f64;
        Ok(Packing { bits: bits(bytes), constant_bits: bits(constant_bytes), layer_errors })
    }
}

/// How a format holds the layers, and how far from them it is.
struct Packing {
    bits: f64,
    constant_bits: f64,
    layer_errors: Vec<f64>,
}
