//! What every arm of a recipe shares, and what is measured of it: base, conversations, questions.

mod tuned;
mod untuned;

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use camelid_chat::Conversation;
use camelid_data::TokenizedSet;
use camelid_data::nano::{EvalItem, score};
use camelid_eval::exact_match::{Marked, answer_all};
use camelid_eval::judge::Question;
use camelid_files::FileError;
use camelid_model::{GenerateOptions, Llama, LocalGenerator};
use camelid_train::{Interrupt, Progress};
use indicatif::{ProgressBar, ProgressStyle};

pub use self::tuned::Tuned;
pub use self::untuned::Untuned;
use crate::nano::{self, Nano};
use crate::{
    Arm, BaseFormat, Children, Comparison, Experiment, OpenOptions, Opened, Ran, RecipeError, RunOptions,
};

/// Name of the step before all arms in which a base is made, a part like them.
pub const PRETRAINING: &str = "pretraining";
/// The longest answer to a question of the nano world, in tokens, with room to spare.
const ANSWER_TOKENS: usize = 16;
/// Tokens of a sample's answer.
const SAMPLE_TOKENS: usize = 80;

/// The shared part of a recipe that tunes one base in several ways.
pub struct Study {
    /// Settings and outcomes of the arms.
    pub comparison: Comparison,
    /// Base and conversations.
    pub opened: Opened,
    /// The conversations to test on.
    pub test: TokenizedSet,
    /// Text to compare the formats of the untuned base on: rows of prose that pre-training has not
    /// seen (nano); where absent, the test conversations.
    pub text: Option<TokenizedSet>,
    /// Questions with one right answer; empty where there are none.
    pub questions: Vec<Question>,
    /// Conversations whose first answer the report shows before and after.
    pub samples: Vec<Conversation>,
    /// The device.
    pub device: Device,
}

impl Study {
    /// Makes the base of an experiment that has it made, in a process of its own, unless it is there.
    /// `false` when interrupted; the next call goes on.
    ///
    /// # Errors
    /// A child that fails.
    pub fn make_base(
        experiment: &Experiment,
        options: &RunOptions,
        children: &Children,
        part: impl Fn(&str, u64) -> Vec<String>,
    ) -> Result<bool, RecipeError> {
        if experiment.model.base != nano::BASE || Nano::of(experiment, &options.runs)?.is_made() {
            return Ok(true);
        }
        println!("{PRETRAINING:<16} the nano base, once");
        children.run(PRETRAINING, &part(PRETRAINING, 0))
    }

    /// That process: makes the base here. `false` when interrupted; its checkpoint is kept.
    ///
    /// # Errors
    /// The trainer's, and a disk that is full.
    pub fn pretrain(experiment: &Experiment, options: &RunOptions) -> Result<bool, RecipeError> {
        let progress = Box::new(Progress::new("nano base"));
        let nano = Nano::of(experiment, &options.runs)?;
        nano.make_base(&options.device()?, progress, Interrupt::from_ctrl_c()?)
    }

    /// Finds or fetches everything that the arms share; a base that is made here must have been made.
    /// `recipe` names the recipe and is raised whenever it measures in another way.
    ///
    /// # Errors
    /// As [`Experiment::open`], and an experiment without a test set.
    pub fn prepare(experiment: Experiment, options: &RunOptions, recipe: &str) -> Result<Self, RecipeError> {
        let open = OpenOptions { fetch: options.fetch.clone(), cache: options.runs.clone() };
        let mut opened = experiment.open(&open)?;
        opened.notices.iter().for_each(|notice| camelid_files::say!("{notice}"));
        let test = opened.test.clone().ok_or_else(|| RecipeError::Experiment {
            path: experiment.name.clone().into(),
            line: None,
            reason: "`data.test` is missing: without a test set there is nothing to compare on".to_owned(),
        })?;
        let (mut text, mut questions, mut samples) = (None, Vec::new(), Vec::new());
        if experiment.model.base == nano::BASE {
            let nano = Nano::of(&experiment, &options.runs)?;
            text = Some(nano.held_out_prose()?);
            questions = nano.world.eval_items().into_iter().map(question).collect();
            let line = format!("{} held-out questions, none of which tuning asks", questions.len());
            opened.about.push(line);
        } else {
            let short = |c: &&Conversation| c.messages[0].content.len() < 200;
            samples = opened.test_conversations.iter().filter(short).take(3).cloned().collect();
        }
        let measured_on = format!("{:?} {questions:?}", text.as_ref().map(|set| &set.examples));
        let folder = options.runs.join(&experiment.name);
        let comparison = Comparison::new(experiment, &opened, recipe, measured_on.as_bytes(), folder)?;
        let device = options.device()?;
        Ok(Self { comparison, opened, test, text, questions, samples, device })
    }

    /// Removes every finished arm and format, so that a run starts over.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn forget(&self) -> Result<(), RecipeError> {
        self.comparison.forget(&["arms", "formats"])
    }

    /// Runs each arm with its number of seeds ([`Comparison::run`]); `None` when interrupted.
    ///
    /// # Errors
    /// A child that fails or leaves nothing.
    pub fn run<A: Arm + Sync>(
        &self,
        arms: &[(A, u64)],
        children: &Children,
        part: impl Fn(&str, u64) -> Vec<String> + Sync,
        interrupted: &AtomicBool,
    ) -> Result<Option<Ran<Tuned>>, RecipeError> {
        self.comparison.run(arms, children, part, interrupted)
    }

    /// The untuned base, held in one format.
    ///
    /// # Errors
    /// Weights that cannot be loaded.
    pub fn base(&self, format: BaseFormat) -> Result<Llama, RecipeError> {
        let mut experiment = self.comparison.experiment.clone();
        experiment.lora = None;
        format.apply(&mut experiment);
        self.opened.model(&experiment, &self.device)
    }

    /// The format that an arm holds the base in.
    pub fn format_of(&self, arm: &impl Arm) -> BaseFormat {
        BaseFormat::of(&arm.experiment(&self.comparison.experiment, 0))
    }

    /// The model with tokenizer and template, to be asked.
    ///
    /// # Errors
    /// A template that does not fit the tokenizer.
    pub fn generator(&self, model: &Llama) -> Result<LocalGenerator, RecipeError> {
        Ok(LocalGenerator::new(model, self.opened.tokenizer.clone(), self.opened.template.clone())?)
    }

    /// The model's answers to the questions, under a bar of this name.
    fn answers(&self, model: &Llama, name: &str) -> Result<Vec<Marked>, RecipeError> {
        if self.questions.is_empty() {
            return Ok(Vec::new());
        }
        let style = ProgressStyle::with_template("{prefix}: question {pos}/{len} {wide_bar}");
        let bar = ProgressBar::new(self.questions.len() as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(name.to_owned());
        let generator = self.generator(model)?;
        let shown = |done| bar.set_position(done as u64);
        let answers = answer_all(&generator, &self.questions, ANSWER_TOKENS, score, shown)?;
        bar.finish_and_clear();
        Ok(answers)
    }

    /// What the model replies to the samples' first message.
    fn replies(&self, model: &Llama) -> Result<Vec<String>, RecipeError> {
        let generator = self.generator(model)?;
        let options = GenerateOptions {
            max_new_tokens: SAMPLE_TOKENS,
            repetition_penalty: 1.1,
            ..GenerateOptions::default()
        };
        let reply = |conversation: &Conversation| {
            let mut go_on = |_: &str| ControlFlow::Continue(());
            Ok(generator.answer(&conversation.messages[..1], &options, &mut go_on)?.text)
        };
        self.samples.iter().map(reply).collect()
    }

    /// The largest difference of any value of the adapters that two arms saved, over the seeds that
    /// `tuned` has of both; `None` where there is no such seed.
    ///
    /// # Errors
    /// Adapters that are not there, damaged, or not of one size.
    pub fn adapter_difference(
        &self,
        one: &impl Arm,
        other: &impl Arm,
        tuned: &[Tuned],
    ) -> Result<Option<f64>, RecipeError> {
        let has = |arm: &str, seed: u64| tuned.iter().any(|t| t.arm == arm && t.seed == seed);
        let mut largest = None;
        for outcome in tuned.iter().filter(|t| t.arm == one.name() && has(other.name(), t.seed)) {
            let (left, right) = (self.adapter(one, outcome.seed)?, self.adapter(other, outcome.seed)?);
            let difference =
                left.iter().zip(&right).map(|(l, r)| f64::from((l - r).abs())).fold(0.0, f64::max);
            if left.len() != right.len() {
                return Err(RecipeError::Child {
                    what: format!("comparing the adapters of `{}` and `{}`", one.name(), other.name()),
                    reason: format!("they have {} and {} values", left.len(), right.len()),
                });
            }
            largest = Some(f64::max(largest.unwrap_or(0.0), difference));
        }
        Ok(largest)
    }

    /// Every value of an arm's saved adapter, in the file's order.
    fn adapter(&self, arm: &impl Arm, seed: u64) -> Result<Vec<f32>, RecipeError> {
        let path = self.comparison.arm_folder(arm, seed)?.join("adapter/adapter_model.safetensors");
        let bytes = std::fs::read(&path).map_err(FileError::io(&path, "read"))?;
        let damaged = |error| FileError::Content {
            path: path.clone(),
            message: format!("not a safetensors file: {error}"),
        };
        let file = safetensors::SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let mut names: Vec<_> = file.names();
        names.sort();
        let mut values = Vec::new();
        for name in names {
            let tensor = file.tensor(name).map_err(damaged)?;
            let (floats, _) = tensor.data().as_chunks::<4>();
            values.extend(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(values)
    }
}

fn question(item: EvalItem) -> Question {
    Question {
        id: item.id,
        category: item.family.as_str().to_owned(),
        turns: item.conversation.messages.into_iter().map(|message| message.content).collect(),
        reference: vec![item.expected],
        temperature: None,
    }
}
