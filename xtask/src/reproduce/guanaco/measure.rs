//! What is measured: each arm after tuning, and the untuned base in every storage format.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use camelid_data::nano::score;
use camelid_eval::exact_match::{Marked, answer_all};
use camelid_lora::save_peft;
use camelid_model::{GenerateOptions, Llama, LoadedTensor};
use camelid_quant::{Format, QuantConfig, QuantizedTensor, quantization_error};
use camelid_recipe::{Arm as _, Stored};
use camelid_train::{ExampleLoss, Interrupt, Memory, Progress, Trainer, example_losses};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::arms::{Arm, Base, DoubleQuant};
use super::setup::Study;

/// The longest answer to a question of the nano world, in tokens, with room to spare.
const ANSWER_TOKENS: usize = 16;
/// Tokens of a sample's answer.
const SAMPLE_TOKENS: usize = 80;

/// A tuned arm, one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArmOutcome {
    /// The arm's name.
    pub arm: String,
    /// The seed of adapters, batches and dropout.
    pub seed: u64,
    /// Trainable parameters.
    pub trainable: usize,
    /// Test loss after tuning, one entry a conversation.
    pub losses: Vec<ExampleLoss>,
    /// Answers to the questions after tuning.
    pub answers: Vec<Marked>,
    /// Replies to the sample prompts after tuning.
    pub samples: Vec<String>,
    /// Training loss of every step.
    pub step_losses: Vec<f64>,
    /// Median training speed.
    pub tokens_per_second: f64,
    /// Peak resident memory of the arm's own process, MiB.
    pub peak_memory_mib: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Pages of optimizer state moved in and out.
    pub pages_moved: u64,
}

/// The untuned base in one storage format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FormatOutcome {
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

/// Tunes one arm with one seed and leaves its outcome; `false` when interrupted.
pub fn tune(study: &Study, arm: Arm, seed: u64) -> anyhow::Result<bool> {
    let experiment = arm.experiment(&study.comparison.experiment, seed);
    let folder = study.comparison.arm_folder(&arm, seed)?;
    std::fs::create_dir_all(&folder)?;
    experiment.save(&folder.join("experiment.toml"))?;

    let model = study.opened.model(&experiment, &study.device.clone().autodiff())?;
    let trainable = trainable_parameters(&model);
    Memory::reset_peak();

    let train = study.opened.train.clone();
    let settings = experiment.train_settings(train.examples.len());
    let progress = Box::new(Progress::new(&format!("{} seed {seed}", arm.name)));
    let interrupt = Interrupt::from_ctrl_c()?;
    let watched = (settings.eval_every > 0).then(|| study.test.clone());
    let run = Trainer::new(model, settings, train, watched, &folder, progress)?
        .belonging_to(study.comparison.arm_key(&arm, seed)?)
        .with_interrupt(interrupt.clone())
        .run()?;
    // The last checkpoint is written: an interruption from here on costs the measuring alone.
    if !run.finished || interrupt.requested() {
        return Ok(false);
    }
    if let Some(lora) = &experiment.lora {
        save_peft(&run.model, lora, Some(&experiment.model.base), &folder.join("adapter"))?;
    }
    let outcome = ArmOutcome {
        arm: arm.name.to_owned(),
        seed,
        trainable,
        losses: example_losses(&run.model, &study.test)?,
        answers: answers(study, &run.model, arm.name)?,
        samples: samples(study, &run.model)?,
        step_losses: run.summary.losses.clone(),
        tokens_per_second: run.summary.tokens_per_second,
        peak_memory_mib: run.summary.peak_mib,
        seconds: run.summary.seconds,
        pages_moved: run.summary.pages_in + run.summary.pages_out,
    };
    study.comparison.keep(&arm, seed, outcome)?;
    Ok(true)
}

/// Every format of Table 2 that can be stored here, with the dense base first.
const FORMATS: [Base; 5] = [
    Base::F32,
    Base::Packed(Format::Nf4, DoubleQuant::Yes),
    Base::Packed(Format::Nf4, DoubleQuant::No),
    Base::Packed(Format::Fp4, DoubleQuant::Yes),
    Base::Packed(Format::Int4, DoubleQuant::Yes),
];

/// Measures the untuned base in each format, reusing what an earlier run measured. Questions are
/// put only to the formats that one of `arms` starts from. `None` when interrupted.
pub fn formats(
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
        let asks = arms.iter().any(|arm| arm.base == base);
        let settings =
            format!("format = {}\npacking = {:?}\nasked = {asks}", base.name(), study.packing(base));
        let key = study.comparison.key(&["format", &settings]);
        let path =
            study.comparison.folder.join("formats").join(format!("{}-{}.json", base.name(), &key[..8]));
        let outcome = match Stored::reuse(&path, &key) {
            Some(outcome) => outcome,
            None => {
                let outcome = format(study, base, asks)?;
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

/// Mean loss per token over all examples.
pub fn token_mean(losses: &[ExampleLoss]) -> f64 {
    let tokens: usize = losses.iter().map(|l| l.tokens).sum();
    losses.iter().map(|l| l.nll).sum::<f64>() / tokens as f64
}

fn format(study: &Study, base: Base, asks: bool) -> anyhow::Result<FormatOutcome> {
    let packing = match study.packing(base) {
        Some(config) => Packing::of(study, &config)?,
        None => Packing::dense(if base == Base::Bf16 { 16.0 } else { 32.0 }),
    };
    let model = study.base(base)?;
    let losses = example_losses(&model, &study.test)?;
    let name = base.name();
    Ok(FormatOutcome {
        bits: packing.bits,
        constant_bits: packing.constant_bits,
        layer_errors: packing.layer_errors,
        text_losses: match &study.text {
            Some(text) => example_losses(&model, text)?,
            None => losses.clone(),
        },
        losses,
        answers: if asks { answers(study, &model, &format!("untuned {name}"))? } else { Vec::new() },
        samples: if asks { samples(study, &model)? } else { Vec::new() },
        weight_bytes: model.weights_nbytes() as u64,
        name,
    })
}

/// The model's answers to the study's questions.
fn answers(study: &Study, model: &Llama, name: &str) -> anyhow::Result<Vec<Marked>> {
    if study.questions.is_empty() {
        return Ok(Vec::new());
    }
    let bar = ProgressBar::new(study.questions.len() as u64)
        .with_style(ProgressStyle::with_template("{prefix}: question {pos}/{len} {wide_bar}")?)
        .with_prefix(name.to_owned());
    let generator = study.generator(model)?;
    let answers =
        answer_all(&generator, &study.questions, ANSWER_TOKENS, score, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(answers)
}

/// What the model replies to the samples' first message.
fn samples(study: &Study, model: &Llama) -> anyhow::Result<Vec<String>> {
    let generator = study.generator(model)?;
    let options = GenerateOptions {
        max_new_tokens: SAMPLE_TOKENS,
        repetition_penalty: 1.1,
        ..GenerateOptions::default()
    };
    let reply = |conversation: &camelid_chat::Conversation| {
        let mut go_on = |_: &str| ControlFlow::Continue(());
        Ok(generator.answer(&conversation.messages[..1], &options, &mut go_on)?.text)
    };
    study.samples.iter().map(reply).collect()
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
        let weights = study.opened.weights()?;
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

fn trainable_parameters(model: &Llama) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}
