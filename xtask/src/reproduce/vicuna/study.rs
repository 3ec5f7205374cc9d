//! What every arm shares: the base, the files, the questions; and how one arm is tuned and measured.

use anyhow::{Context, bail};
use burn::tensor::Device;
use camelid_chat::Template;
use camelid_data::nano::ChatItem;
use camelid_data::{DataFormat, ReadOptions, TokenizeOptions, TokenizedSet, Truncation, read_conversations};
use camelid_eval::exact_match::Marked;
use camelid_model::{Llama, LocalGenerator};
use camelid_recipe::nano::Nano;
use camelid_recipe::{Arm as _, Comparison, Experiment, Opened, RunOptions, TestSet, token_mean};
use camelid_train::example_losses;
use serde::{Deserialize, Serialize};

use super::arms::{self, ALL_ROUNDS, Arm};
use super::exam;
use super::pages::{self, Funnel};

/// Raised whenever the recipe measures something in another way.
const RECIPE: &str = "vicuna 1";

/// The folder of the conversations, in that of the recipe.
const DATA: &str = "data";

/// The shared part of the recipe.
pub struct Study {
    /// Settings and outcomes of the arms.
    pub comparison: Comparison,
    /// The base, and the cleaned conversations to tune and to test on.
    pub opened: Opened,
    /// Every arm with its conversations.
    pub arms: Vec<(Arm, TokenizedSet)>,
    /// What became of the raw pages.
    pub funnel: Funnel,
    /// The questions.
    pub items: Vec<ChatItem>,
    /// The device.
    pub device: Device,
}

/// A tuned arm, one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// The arm's name.
    pub arm: String,
    /// The seed of the order of its batches.
    pub seed: u64,
    /// Tokens it was tuned on, those without loss among them.
    pub tokens: usize,
    /// Loss on the cleaned test conversations, in nats per token.
    pub test_loss: f64,
    /// Answers to the questions.
    pub answers: Vec<Marked>,
    /// Seconds of training.
    pub seconds: f64,
}

impl Study {
    /// Makes the files and opens them; the base must have been made.
    pub fn prepare(experiment: Experiment, options: &RunOptions) -> anyhow::Result<Self> {
        Self::open(experiment, options, None)
    }

    /// The same in a process of its own for one arm, with the files that are there.
    pub fn of_part(experiment: Experiment, options: &RunOptions) -> anyhow::Result<Self> {
        let made = pages::made(&options.runs.join(&experiment.name).join(DATA))?;
        Self::open(experiment, options, made)
    }

    fn open(experiment: Experiment, options: &RunOptions, made: Option<Funnel>) -> anyhow::Result<Self> {
        let folder = options.runs.join(&experiment.name);
        let nano = Nano::of(&experiment, &options.runs)?;
        let template = Template::builtin(&experiment.data.template)?;
        let max_length = experiment.data.max_length;
        let Some(TestSet::Count(tested)) = experiment.data.test else {
            bail!("{}: `data.test`: expected a count of conversations", experiment.name);
        };
        let data = folder.join(DATA);
        let funnel = match made {
            Some(funnel) => funnel,
            None => pages::make(&nano, &data, &template, max_length, tested)?,
        };
        let set = |file: &str, format, loss_on| -> anyhow::Result<TokenizedSet> {
            let read = read_conversations(format, &[data.join(file)], &ReadOptions::default())?;
            let truncation = Truncation { total: Some(max_length), ..Truncation::default() };
            let options = TokenizeOptions { loss_on, truncation };
            Ok(TokenizedSet::build(&read.conversations, &nano.tokenizer, &template, &options)?)
        };
        let tokenised = |arm: Arm| anyhow::Ok((arm.clone(), set(arm.file, arm.format, arm.loss_on)?));
        let mut arms = arms::ALL.into_iter().map(tokenised).collect::<anyhow::Result<Vec<_>>>()?;

        // As many rows a step as give every arm the same tokens.
        let length = |set: &TokenizedSet| set.report.tokens as f64 / set.examples.len() as f64;
        let tokens_of_a_step = experiment.train.micro_batch_size as f64 * length(&arms[0].1);
        for (arm, set) in &mut arms {
            arm.rows = (tokens_of_a_step / length(set)).round().max(1.0) as usize;
        }

        let items = nano.world.chat_items();
        let opened = Opened {
            base: nano.base().to_owned(),
            test: Some(set("test.json", DataFormat::Sharegpt, ALL_ROUNDS.loss_on)?),
            train: arms[0].1.clone(),
            test_conversations: Vec::new(),
            about: vec![
                nano.about(),
                format!("{} questions, the later ones of a dialogue with its earlier turns", items.len()),
            ],
            tokenizer: nano.tokenizer,
            template,
            notices: Vec::new(),
        };
        // Every arm's tokens are part of what outcomes are known by.
        let mut measured_on = format!("{items:?}").into_bytes();
        for example in arms.iter().flat_map(|(_, set)| &set.examples) {
            measured_on.extend(example.ids.iter().flat_map(|id| id.to_le_bytes()));
            measured_on.extend(example.labels.iter().flat_map(|label| label.to_le_bytes()));
        }
        let comparison = Comparison::new(experiment, &opened, RECIPE, &measured_on, folder)?;
        Ok(Self { comparison, opened, arms, funnel, items, device: options.device()? })
    }

    /// Tunes one arm with one seed and leaves its outcome; `false` when interrupted.
    pub fn tune(&self, name: &str, seed: u64) -> anyhow::Result<bool> {
        let found = self.arms.iter().find(|(arm, _)| arm.name == name);
        let (arm, train) = found.with_context(|| format!("there is no arm named `{name}`"))?;
        let experiment = arm.experiment(&self.comparison.experiment, seed);
        let model = self.opened.model(&experiment, &self.device.clone().autodiff())?;
        let Some((model, summary)) = self.comparison.train(arm, seed, model, train.clone(), None)? else {
            return Ok(false);
        };
        let test = self.opened.test.as_ref().context("there is no test set")?;
        let outcome = Tuned {
            arm: arm.name.to_owned(),
            seed,
            tokens: summary.tokens,
            test_loss: token_mean(&example_losses(&model, test)?),
            answers: exam::sit(&self.generator(&model)?, &self.items, arm.is_raw())?,
            seconds: summary.seconds,
        };
        self.comparison.keep(arm, seed, outcome)?;
        Ok(true)
    }

    /// The untuned base's answers.
    pub fn untuned(&self) -> anyhow::Result<Vec<Marked>> {
        self.comparison.once("untuned", || {
            let model = self.opened.model(&self.comparison.experiment, &self.device)?;
            exam::sit(&self.generator(&model)?, &self.items, false)
        })
    }

    fn generator(&self, model: &Llama) -> anyhow::Result<LocalGenerator> {
        Ok(LocalGenerator::new(model, self.opened.tokenizer.clone(), self.opened.template.clone())?)
    }
}
