//! The untuned base in every storage format: bits, error, held-out loss.

use std::sync::atomic::{AtomicBool, Ordering};

use camelid_kernels::device_from_environment;
use camelid_model::{Llama, LoadedTensor};
use camelid_quant::{Format, QuantConfig, QuantizedTensor, quantization_error};
use camelid_train::example_losses;

use super::arms::{Arm, Base, DoubleQuant};
use super::outcome::{self, FormatOutcome};
use super::study::Study;
use super::tune;

/// Every format of Table 2 that can be stored here, with the dense base first.
const FORMATS: [Base; 5] = [
    Base::F32,
    Base::Packed(Format::Nf4, DoubleQuant::Yes),
    Base::Packed(Format::Nf4, DoubleQuant::No),
    Base::Packed(Format::Fp4, DoubleQuant::Yes),
    Base::Packed(Format::Int4, DoubleQuant::Yes),
];

/// Measures each format, reusing what an earlier run measured. Questions are
/// put only to the formats that one of `arms` starts from. `None` when interrupted.
pub fn measure(
    study: &Study,
    arms: &[Arm],
    interrupted: &AtomicBool,
) -> anyhow::Result<Option<Vec<FormatOutcome>>> {
    let mut formats = FORMATS.to_vec();
    formats.extend(arms.iter().map(|arm| arm.base).filter(|base| !FORMATS.contains(base)));
    let mut outcomes: Vec<FormatOutcome> = Vec::new();
    for base in formats {
        if interrupted.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let key = study.format_key(base);
        let path = study.format_path(base);
        let asks = arms.iter().any(|arm| arm.base == base);
        let kept: Option<FormatOutcome> = outcome::reuse(&path, &key);
        let outcome = match kept.filter(|o| !asks || o.answers.len() == study.supplies.questions.len()) {
            Some(outcome) => outcome,
            None => {
                let outcome = measure_one(study, base, asks)?;
                outcome::keep(&path, &outcome)?;
                outcome
            }
        };
        println!(
            "{:<16} {:.3} bits/parameter, untuned loss {:.4} on text, {:.4} on conversations",
            outcome.name,
            outcome.bits,
            super::evidence::token_mean(&outcome.text_losses),
            super::evidence::token_mean(&outcome.losses)
        );
        outcomes.push(outcome);
    }
    Ok(Some(outcomes))
}

fn measure_one(study: &Study, base: Base, asks: bool) -> anyhow::Result<FormatOutcome> {
    let weights = study.weights()?;
    let packing = match base.quant(study.block_size()) {
        Some(config) => Packing::of(study, &config)?,
        None => Packing::dense(if base == Base::Bf16 { 16.0 } else { 32.0 }),
    };
    let model =
        Llama::load(weights.as_ref(), &tune::storage(base, study.block_size()), &device_from_environment()?)?;
    let losses = example_losses(&model, &study.supplies.held_out)?;
    let name = base.name();
    let questions = format!("untuned {name}");
    Ok(FormatOutcome {
        key: study.format_key(base),
        bits: packing.bits,
        constant_bits: packing.constant_bits,
        layer_errors: packing.layer_errors,
        text_losses: match &study.supplies.text {
            Some(text) => example_losses(&model, text)?,
            None => losses.clone(),
        },
        losses,
        answers: if asks { tune::answers(study, &model, &questions)? } else { Vec::new() },
        samples: if asks { tune::samples(study, &model)? } else { Vec::new() },
        weight_bytes: model.weights_nbytes() as u64,
        name,
    })
}

/// How a format holds the layers, and how far from them it is.
struct Packing {
    bits: f64,
    constant_bits: f64,
    layer_errors: Vec<f64>,
}

impl Packing {
    fn dense(bits: f64) -> Self {
        Self { bits, constant_bits: 0.0, layer_errors: Vec::new() }
    }

    /// Packs every linear layer and compares it with the original.
    fn of(study: &Study, config: &QuantConfig) -> anyhow::Result<Self> {
        let weights = study.weights()?;
        let (mut parameters, mut bytes, mut constant_bytes) = (0, 0, 0);
        let mut layer_errors = Vec::new();
        for linear in weights.config()?.linear_shapes() {
            let name = format!("{}.weight", linear.path);
            let LoadedTensor::Dense { shape, values, .. } = weights.read(&name)? else {
                anyhow::bail!("{name} is stored packed: its original is not there to compare with");
            };
            let packed = QuantizedTensor::quantize(&name, &values, &shape, config)?;
            parameters += values.len();
            bytes += packed.nbytes();
            constant_bytes += packed.nbytes() - packed.packed().len();
            layer_errors.push(quantization_error(&values, config)?.relative);
        }
        let bits = |bytes: usize| 8.0 * bytes as f64 / parameters as f64;
        Ok(Self { bits: bits(bytes), constant_bits: bits(constant_bytes), layer_errors })
    }
}
