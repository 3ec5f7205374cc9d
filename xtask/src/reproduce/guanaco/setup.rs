//! What every arm shares: the base model, the conversations, the questions.

use anyhow::{Context, bail};
use burn::tensor::Device;
use camelid_chat::Conversation;
use camelid_data::TokenizedSet;
use camelid_data::catalogue::FetchOptions;
use camelid_data::nano::EvalItem;
use camelid_eval::judge::Question;
use camelid_model::{Llama, LlamaConfig, LocalGenerator};
use camelid_quant::QuantConfig;
use camelid_recipe::nano::{self, Nano};
use camelid_recipe::{Comparison, Experiment, OpenOptions, Opened, RunOptions};

use super::arms::{Arm, Base};
use super::scale::Scale;
use crate::workspace::workspace;

/// Raised whenever the recipe measures something in another way.
const RECIPE: &str = "guanaco 3";

/// The shared part of the recipe.
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

/// The experiment of a scale, `experiments/guanaco/<scale>.toml`, with the base that was given.
pub fn experiment(scale: Scale, base: Option<&str>) -> anyhow::Result<Experiment> {
    let path = workspace().join("experiments/guanaco").join(format!("{}.toml", scale.name()));
    let mut experiment = Experiment::read(&path)?;
    if let Some(base) = base {
        if scale.is_made_up() {
            bail!("--base has no place at scale {}: its base is made here", scale.name());
        }
        experiment.model.base = base.to_owned();
    }
    Ok(experiment)
}

/// The shape of a scale's base, known before anything is fetched.
pub fn shape(scale: Scale) -> LlamaConfig {
    match scale {
        Scale::Nano | Scale::Check => nano::config(nano::VOCABULARY),
        Scale::Smol => LlamaConfig::smollm2_135m(),
        Scale::B7 => LlamaConfig::llama_7b(),
        Scale::B13 => LlamaConfig::llama_13b(),
        Scale::B33 => LlamaConfig::llama_33b(),
        Scale::B65 => LlamaConfig::llama_65b(),
    }
}

impl Study {
    /// Finds, fetches or makes everything that the arms share; the nano base must have been made.
    pub fn prepare(experiment: Experiment, options: &RunOptions) -> anyhow::Result<Self> {
        let open = OpenOptions { fetch: fetch_options(options.offline)?, cache: options.runs.clone() };
        let mut opened = experiment.open(&open)?;
        opened.notices.iter().for_each(|notice| eprintln!("{notice}"));
        let test = opened.test.clone().context("the experiment has no test set to compare on")?;
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
        let comparison = Comparison::new(experiment, &opened, RECIPE, measured_on.as_bytes(), folder)?;
        let device = options.device()?;
        Ok(Self { comparison, opened, test, text, questions, samples, device })
    }

    /// The untuned base, held in one format.
    pub fn base(&self, base: Base) -> anyhow::Result<Llama> {
        let mut experiment = self.comparison.experiment.clone();
        experiment.lora = None;
        experiment.model.storage = base.storage();
        experiment.quant = self.packing(base);
        Ok(self.opened.model(&experiment, &self.device)?)
    }

    /// How a base is packed, where it is.
    pub fn packing(&self, base: Base) -> Option<QuantConfig> {
        base.quant(self.comparison.experiment.quant.unwrap_or_default().block_size)
    }

    /// The model with tokenizer and template, to be asked.
    pub fn generator(&self, model: &Llama) -> anyhow::Result<LocalGenerator> {
        Ok(LocalGenerator::new(model, self.opened.tokenizer.clone(), self.opened.template.clone())?)
    }

    /// Every value of an arm's saved adapter, in the file's order.
    pub fn adapter(&self, arm: Arm, seed: u64) -> anyhow::Result<Vec<f32>> {
        let path = self.comparison.arm_folder(&arm, seed)?.join("adapter/adapter_model.safetensors");
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = safetensors::SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{}: not a safetensors file", path.display()))?;
        let mut names: Vec<_> = file.names();
        names.sort();
        let mut values = Vec::new();
        for name in names {
            let tensor = file.tensor(name)?;
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

/// Options from the environment, and the mirror that lies beside the checkout where no other is
/// named.
fn fetch_options(offline: bool) -> anyhow::Result<FetchOptions> {
    let mut options = FetchOptions::from_env()?;
    options.offline |= offline;
    let beside = workspace().join("../shared/oracles");
    if options.mirror.is_none() && beside.is_dir() {
        options.mirror = Some(beside);
    }
    Ok(options)
}
