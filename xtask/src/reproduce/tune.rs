//! One arm: load the base as the arm holds it, tune it, measure it.

use burn::module::Module;
use camelid_eval::exact_match::{Answer, answer_all};
use camelid_kernels::device_from_environment;
use camelid_lora::{attach, save_peft};
use camelid_model::{Llama, LocalGenerator, WeightStorage};
use camelid_recipe::Storage;
use camelid_recipe::nano::Nano;
use camelid_train::{Interrupt, Memory, Progress, Trainer, example_losses};
use indicatif::{ProgressBar, ProgressStyle};

use super::arms::{Arm, Base};
use super::outcome::{self, ArmOutcome};
use super::study::{self, Study};
use super::{Ending, GuanacoArguments};

/// The longest answer to a question of the nano world, in tokens, with room to spare.
const ANSWER_TOKENS: usize = 16;

/// Pre-trains the nano base.
pub fn pretrain(arguments: &GuanacoArguments) -> anyhow::Result<Ending> {
    let nano = Nano::of(&study::experiment(arguments.scale)?, &study::runs(arguments))?;
    let observer = Box::new(Progress::new("nano base"));
    Ok(if nano.make_base(&device_from_environment()?, observer, Interrupt::from_ctrl_c()?)? {
        Ending::Finished
    } else {
        Ending::Interrupted
    })
}

/// Tunes one arm with one seed and leaves its outcome.
pub fn arm(arguments: &GuanacoArguments, arm: Arm, seed: u64) -> anyhow::Result<Ending> {
    let study = Study::prepare(arguments)?;
    let experiment = arm.experiment(&study.experiment, seed);
    let folder = study.arm_folder(arm, seed)?;
    std::fs::create_dir_all(&folder)?;
    experiment.save(&folder.join("experiment.toml"))?;

    let device = device_from_environment()?.autodiff();
    let weights = study.weights()?;
    let mut model = Llama::load(weights.as_ref(), &storage(arm.base, study.block_size()), &device)?;
    let weight_bytes = model.weights_nbytes() as u64;
    if let Some(lora) = &experiment.lora {
        model = attach(model, lora, seed, &device)?;
    }
    let trainable = trainable_parameters(&model);
    Memory::reset_peak();

    let settings = experiment.train_settings(study.supplies.train.examples.len());
    let progress = Box::new(Progress::new(&format!("{} seed {seed}", arm.name)));
    let interrupt = Interrupt::from_ctrl_c()?;
    let watched = (settings.eval_every > 0).then(|| study.supplies.held_out.clone());
    let run = Trainer::new(model, settings, study.supplies.train.clone(), watched, &folder, progress)?
        .belonging_to(study.arm_key(arm, seed)?)
        .with_interrupt(interrupt.clone())
        .run()?;
    // The last checkpoint is written: an interruption from here on costs the measuring alone.
    if !run.finished || interrupt.requested() {
        return Ok(Ending::Interrupted);
    }
    if let Some(lora) = &experiment.lora {
        save_peft(&run.model, lora, Some(&experiment.model.base), &folder.join("adapter"))?;
    }

    let outcome = ArmOutcome {
        key: study.arm_key(arm, seed)?,
        arm: arm.name.to_owned(),
        seed,
        trainable,
        weight_bytes,
        losses: example_losses(&run.model, &study.supplies.held_out)?,
        answers: answers(&study, &run.model, arm.name)?,
        samples: samples(&study, &run.model)?,
        step_losses: run.summary.losses.clone(),
        tokens_per_second: run.summary.tokens_per_second,
        peak_memory_mib: run.summary.peak_mib,
        seconds: run.summary.seconds,
        pages_moved: run.summary.pages_in + run.summary.pages_out,
    };
    outcome::keep(&study.outcome_path(arm, seed)?, &outcome)?;
    Ok(Ending::Finished)
}

/// The weights' storage in the model's own terms.
pub fn storage(base: Base, block_size: usize) -> WeightStorage {
    match base.storage() {
        Storage::F32 => WeightStorage::F32,
        Storage::Bf16 => WeightStorage::Bf16,
        Storage::F16 => WeightStorage::F16,
        Storage::Quantized => WeightStorage::Quantized(base.quant(block_size).unwrap_or_default()),
    }
}

/// The model's answers to the study's questions.
pub fn answers(study: &Study, model: &Llama, name: &str) -> anyhow::Result<Vec<Answer>> {
    if study.supplies.questions.is_empty() {
        return Ok(Vec::new());
    }
    let generator =
        LocalGenerator::new(model, study.supplies.tokenizer.clone(), study.supplies.template.clone())?;
    let bar = ProgressBar::new(study.supplies.questions.len() as u64)
        .with_style(ProgressStyle::with_template("{prefix}: question {pos}/{len} {wide_bar}")?)
        .with_prefix(name.to_owned());
    let answers =
        answer_all(&generator, &study.supplies.questions, ANSWER_TOKENS, study.supplies.is_right, |done| {
            bar.set_position(done as u64);
        })?;
    bar.finish_and_clear();
    Ok(answers)
}

/// What the model replies to the samples' first message, at most 80 tokens of it.
pub fn samples(study: &Study, model: &Llama) -> anyhow::Result<Vec<String>> {
    let generator =
        LocalGenerator::new(model, study.supplies.tokenizer.clone(), study.supplies.template.clone())?;
    let options = camelid_model::GenerateOptions {
        max_new_tokens: 80,
        repetition_penalty: 1.1,
        ..camelid_model::GenerateOptions::default()
    };
    study
        .supplies
        .samples
        .iter()
        .map(|conversation| {
            let prompt = &conversation.messages[..1];
            let mut go_on = |_: &str| std::ops::ControlFlow::Continue(());
            Ok(generator.answer(prompt, &options, &mut go_on)?.text)
        })
        .collect()
}

fn trainable_parameters(model: &Llama) -> usize {
    struct Count(usize);
    impl burn::module::ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}
