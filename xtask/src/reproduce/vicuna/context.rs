//! A context stretched in miniature: a model that finds keys within 256 tokens, its positions condensed by
//! four, without and with tuning on four times the length.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::bail;
use burn::module::Module;
use burn::tensor::Device;
use camelid_chat::{Conversation, Template};
use camelid_data::nano::{HiddenKeys, score};
use camelid_data::{TokenizeOptions, TokenizedSet, Truncation};
use camelid_eval::exact_match::Marked;
use camelid_model::{Llama, LocalGenerator, RopeScaling};
use camelid_recipe::nano::Nano;
use camelid_recipe::{Arm, Children, Comparison, Experiment, Length, Opened, RunOptions, TestSet};
use serde::{Deserialize, Serialize};

use super::exam::reply;
use crate::reproduce::tuning::part;

/// Raised whenever it measures something in another way.
const RECIPE: &str = "vicuna context 1";
/// By how much positions are condensed, and the context stretched.
pub const FACTOR: usize = 4;
/// Steps of tuning on long rows.
const LONG_STEPS: usize = 80;
/// Rows to tune on, of each length.
const ROWS: usize = 600;
/// The first number of a question's conversation, far from those of training.
const FIRST_QUESTION: usize = 1 << 20;
/// The longest answer in tokens, with room to spare.
const ANSWER_TOKENS: usize = 16;

/// The two stages, each an arm of a comparison of its own: the second starts where the first ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Tuning at the first length.
    Short,
    /// Tuning at [`FACTOR`] times that, from the short model with its positions condensed.
    Long,
}

impl Stage {
    /// The stage of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Stage::Short, Stage::Long].into_iter().find(|stage| stage.name() == name)
    }
}

impl Arm for Stage {
    fn name(&self) -> &str {
        match self {
            Stage::Short => "context-short",
            Stage::Long => "context-long",
        }
    }

    fn label(&self) -> &str {
        match self {
            Stage::Short => "keys within the first length",
            Stage::Long => "positions condensed, keys within four times the length",
        }
    }

    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment {
        let mut experiment = common.of_arm(self.name(), seed);
        if *self == Stage::Long {
            experiment.model.rope_scaling = Some(RopeScaling::Linear { factor: FACTOR as f64 });
            experiment.data.max_length *= FACTOR;
            // Its rows are three to four times as long.
            experiment.train.micro_batch_size = (experiment.train.micro_batch_size / 3).max(1);
            experiment.length = Length::Steps(LONG_STEPS);
        }
        experiment
    }
}

/// What the short model answers, as it is and with its positions condensed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Short {
    /// As it is.
    pub plain: Vec<Marked>,
    /// With its positions condensed, untuned.
    pub condensed: Vec<Marked>,
}

/// What a model answers after tuning on long rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Long {
    /// The seed.
    pub seed: u64,
    /// Its answers.
    pub answers: Vec<Marked>,
}

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Context {
    /// The length that the short model knows.
    pub known: usize,
    /// The short model.
    pub short: Short,
    /// The long ones.
    pub long: Vec<Long>,
    /// Outcomes taken from an earlier run.
    pub reused: usize,
}

impl Context {
    /// The lengths that are asked at: within what the short model knows, and beyond.
    pub fn lengths(known: usize) -> [usize; 4] {
        [known / 2, known, 2 * known, FACTOR * known]
    }
}

/// What the stages share.
pub struct Stretch {
    experiment: Experiment,
    nano: Nano,
    template: Template,
    questions: usize,
    device: Device,
    runs: PathBuf,
}

impl Stretch {
    /// The stages of `experiment`; its base must have been made.
    pub fn new(experiment: Experiment, options: &RunOptions) -> anyhow::Result<Self> {
        let nano = Nano::of(&experiment, &options.runs)?;
        let template = Template::builtin(&experiment.data.template)?;
        let Some(TestSet::Count(questions)) = experiment.data.test else {
            bail!("{}: `data.test`: expected a count of questions of each length", experiment.name);
        };
        let (device, runs) = (options.device()?, options.runs.clone());
        Ok(Self { experiment, nano, template, questions, device, runs })
    }

    /// Runs both stages, the second with so many seeds; `None` when interrupted.
    pub fn run(
        &self,
        seeds: u64,
        fresh: bool,
        children: &Children,
        interrupted: &AtomicBool,
    ) -> anyhow::Result<Option<Context>> {
        let comparison = self.comparison(Stage::Short)?;
        if fresh {
            comparison.forget(&["arms"])?;
        }
        let Some(short) = comparison.run(&[(Stage::Short, 1)], children, part, interrupted)? else {
            return Ok(None);
        };
        let comparison = self.comparison(Stage::Long)?;
        let Some(long) = comparison.run(&[(Stage::Long, seeds)], children, part, interrupted)? else {
            return Ok(None);
        };
        let (known, reused) = (self.experiment.data.max_length, short.reused + long.reused);
        let first = short.outcomes.into_iter().next();
        Ok(first.map(|short| Context { known, short, long: long.outcomes, reused }))
    }

    /// Tunes one stage in this process and leaves its outcome; `false` when interrupted.
    pub fn tune(&self, stage: Stage, seed: u64) -> anyhow::Result<bool> {
        let (comparison, opened) = (self.comparison(stage)?, self.opened(stage)?);
        let experiment = stage.experiment(&self.experiment, seed);
        let model = opened.model(&experiment, &self.device.clone().autodiff())?;
        let Some((model, _)) = comparison.train(&stage, seed, model, opened.train, None)? else {
            return Ok(false);
        };
        let model = model.valid();
        let answers = self.ask(&model)?;
        match stage {
            Stage::Short => {
                let weights = self.short_model()?;
                std::fs::create_dir_all(&weights)?;
                model.save_safetensors(&weights)?;
                let condensed = model.with_rope_scaling(RopeScaling::Linear { factor: FACTOR as f64 })?;
                let condensed = self.ask(&condensed)?;
                comparison.keep(&stage, seed, Short { plain: answers, condensed })?;
            }
            Stage::Long => comparison.keep(&stage, seed, Long { seed, answers })?,
        }
        Ok(true)
    }

    /// Where the short model's weights are kept, beside its run.
    fn short_model(&self) -> anyhow::Result<PathBuf> {
        Ok(self.comparison(Stage::Short)?.arm_folder(&Stage::Short, 0)?.join("model"))
    }

    fn comparison(&self, stage: Stage) -> anyhow::Result<Comparison> {
        let folder = self.runs.join(&self.experiment.name);
        let (opened, asked) = (self.opened(stage)?, format!("{:?}", self.questions()));
        Ok(Comparison::new(self.experiment.clone(), &opened, RECIPE, asked.as_bytes(), folder)?)
    }

    /// What a stage starts from, and the rows it is tuned on: of its full length and of shorter ones.
    fn opened(&self, stage: Stage) -> anyhow::Result<Opened> {
        let length = stage.experiment(&self.experiment, 0).data.max_length;
        let (base, shares) = match stage {
            Stage::Short => (self.nano.base().to_owned(), [4, 3, 2, 1]),
            Stage::Long => (self.short_model()?, [8, 4, 2, 1]),
        };
        let rows = |(i, share)| {
            let (first, tokens) = (i * ROWS, length / share);
            self.nano.world.hidden_keys(&HiddenKeys { first, count: ROWS, tokens, keys: 1, asked: 1 })
        };
        let conversations: Vec<Conversation> = (0..).zip(shares).flat_map(rows).collect();
        let truncation = Truncation { total: Some(length), ..Truncation::default() };
        let options = TokenizeOptions { loss_on: self.experiment.data.loss_on, truncation };
        Ok(Opened {
            base,
            train: TokenizedSet::build(&conversations, &self.nano.tokenizer, &self.template, &options)?,
            test: None,
            test_conversations: Vec::new(),
            tokenizer: self.nano.tokenizer.clone(),
            template: self.template.clone(),
            about: Vec::new(),
            notices: Vec::new(),
        })
    }

    /// The same questions at every length: a key hidden in a text.
    fn questions(&self) -> Vec<(usize, Conversation)> {
        let at = |tokens| {
            let (first, count) = (FIRST_QUESTION, self.questions);
            let wanted = HiddenKeys { first, count, tokens, keys: 1, asked: 1 };
            self.nano.world.hidden_keys(&wanted).into_iter().map(move |question| (tokens, question))
        };
        Context::lengths(self.experiment.data.max_length).into_iter().flat_map(at).collect()
    }

    /// A model's answers at every length.
    fn ask(&self, model: &Llama) -> anyhow::Result<Vec<Marked>> {
        let generator = LocalGenerator::new(model, self.nano.tokenizer.clone(), self.template.clone())?;
        let answer = |(length, mut question): (usize, Conversation)| -> anyhow::Result<Marked> {
            let expected = question.messages.pop().map_or(String::new(), |message| message.content);
            let text = reply(&generator, &question.messages, ANSWER_TOKENS)?;
            let correct = score(&text, &expected);
            Ok(Marked { question: question.id, category: length.to_string(), text, correct })
        };
        self.questions().into_iter().map(answer).collect()
    }
}
