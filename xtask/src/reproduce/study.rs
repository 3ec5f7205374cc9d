//! What every arm shares: the base model, the conversations, the questions.

use std::path::{Path, PathBuf};

use anyhow::Context;
use camelid_chat::{Conversation, Template};
use camelid_data::TokenizedSet;
use camelid_data::catalogue::FetchOptions;
use camelid_data::nano::score;
use camelid_eval::exact_match::Question;
use camelid_model::{WeightSource, open_weights};
use camelid_recipe::nano::Nano;
use camelid_recipe::{Experiment, OpenOptions, Opened};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::arms::{Arm, Base};
use super::guanaco::workspace;
use super::outcome::ArmOutcome;
use super::{GuanacoArguments, Scale};

/// Raised whenever the recipe measures something in another way, so that no outcome of an
/// older one is taken for today's.
pub const RECIPE: &str = "guanaco 2";

/// The shared part of a comparison.
pub struct Study {
    /// Settings of the main arm; the others change what they compare.
    pub experiment: Experiment,
    /// The scale.
    pub scale: Scale,
    /// Where runs of this scale are kept.
    pub folder: PathBuf,
    /// What the scale supplied.
    pub supplies: Supplies,
    /// Digest of base and data.
    pub fingerprint: String,
}

/// What a scale supplies to a [`Study`].
pub struct Supplies {
    /// Where the base model lies.
    pub base: PathBuf,
    /// The base model's tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written.
    pub template: Template,
    /// Conversations to tune on.
    pub train: TokenizedSet,
    /// Conversations held out.
    pub held_out: TokenizedSet,
    /// Text to compare the formats of the untuned base on: rows of prose that
    /// pre-training has not seen (nano); where absent, the held-out conversations.
    pub text: Option<TokenizedSet>,
    /// Questions with one right answer; empty where there are none.
    pub questions: Vec<Question>,
    /// Conversations whose first answer the report shows before and after.
    pub samples: Vec<Conversation>,
    /// Whether an answer is right.
    pub is_right: fn(&str, &str) -> bool,
    /// Whether the base's weights come from a file that was itself quantised.
    pub requantised: bool,
    /// Where base and data came from, and how many, as lines of the report.
    pub inputs: Vec<String>,
}

impl Study {
    /// Fetches or makes everything the arms share; the nano base must have been made.
    pub fn prepare(arguments: &GuanacoArguments) -> anyhow::Result<Self> {
        let experiment = experiment(arguments.scale)?;
        let folder = runs(arguments).join(&experiment.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let supplies = supplies(&experiment, arguments)?;
        let fingerprint = fingerprint(&supplies)?;
        Ok(Self { experiment, scale: arguments.scale, folder, supplies, fingerprint })
    }

    /// The base model's weights, opened anew.
    pub fn weights(&self) -> anyhow::Result<Box<dyn WeightSource>> {
        Ok(open_weights(&self.supplies.base)?)
    }

    /// Where an arm's run is kept. The key is part of the name, so that a checkpoint of other
    /// settings is never gone on from.
    pub fn arm_folder(&self, arm: Arm, seed: u64) -> anyhow::Result<PathBuf> {
        let key = self.arm_key(arm, seed)?;
        Ok(self.folder.join("arms").join(format!("{}-seed{seed}-{}", arm.name, &key[..8])))
    }

    /// Where an arm leaves its outcome.
    pub fn outcome_path(&self, arm: Arm, seed: u64) -> anyhow::Result<PathBuf> {
        Ok(self.arm_folder(arm, seed)?.join("outcome.json"))
    }

    /// Digest of all that determines an arm's outcome.
    pub fn arm_key(&self, arm: Arm, seed: u64) -> anyhow::Result<String> {
        let settings = toml::to_string(&arm.experiment(&self.experiment, seed))?;
        Ok(self.key(&["arm", arm.name, &settings]))
    }

    /// Where the untuned base's outcome in one format lies.
    pub fn format_path(&self, base: Base) -> PathBuf {
        self.folder.join("formats").join(format!("{}-{}.json", base.name(), &self.format_key(base)[..8]))
    }

    /// Values that share one constant in a packed base.
    pub fn block_size(&self) -> usize {
        self.experiment.quant.unwrap_or_default().block_size
    }

    /// Digest of all that determines a format's outcome.
    pub fn format_key(&self, base: Base) -> String {
        self.key(&["format", &base.name(), &self.block_size().to_string()])
    }

    fn key(&self, parts: &[&str]) -> String {
        let mut digest = Sha256::new();
        for part in [RECIPE, &self.fingerprint].iter().chain(parts) {
            digest.update(part.len().to_le_bytes());
            digest.update(part.as_bytes());
        }
        hex(&digest.finalize())
    }

    /// Removes finished arms, formats and their checkpoints.
    pub fn forget_outcomes(&self) -> anyhow::Result<()> {
        for part in ["arms", "formats"] {
            let folder = self.folder.join(part);
            if folder.exists() {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        Ok(())
    }

    /// The largest difference of any adapter parameter between the paged and
    /// the resident arm, over the seeds both were run with.
    pub fn paged_difference(&self, outcomes: &[ArmOutcome]) -> anyhow::Result<Option<f64>> {
        use super::arms::{PAGED, QLORA};
        let mut largest = None;
        for paged in outcomes.iter().filter(|o| o.arm == PAGED.name) {
            if !outcomes.iter().any(|o| o.arm == QLORA.name && o.seed == paged.seed) {
                continue;
            }
            let read = |arm| read_adapter(&self.arm_folder(arm, paged.seed)?);
            let (left, right) = (read(PAGED)?, read(QLORA)?);
            anyhow::ensure!(left.len() == right.len(), "paged and resident adapters differ in size");
            let difference =
                left.iter().zip(&right).map(|(l, r)| f64::from((l - r).abs())).fold(0.0, f64::max);
            largest = Some(f64::max(largest.unwrap_or(0.0), difference));
        }
        Ok(largest)
    }
}

/// The experiment of a scale, `experiments/guanaco/<scale>.toml`.
pub fn experiment(scale: Scale) -> anyhow::Result<Experiment> {
    let path = workspace().join("experiments/guanaco").join(format!("{}.toml", scale.name()));
    Ok(Experiment::read(&path)?)
}

fn supplies(experiment: &Experiment, arguments: &GuanacoArguments) -> anyhow::Result<Supplies> {
    let mut experiment = experiment.clone();
    if let Some(base) = &arguments.base {
        experiment.model.base = base.display().to_string();
    }
    let options = OpenOptions { fetch: fetch_options(arguments)?, cache: runs(arguments) };
    let opened = experiment.open(&options)?;
    opened.notices.iter().for_each(|notice| eprintln!("{notice}"));
    let requantised = opened.is_requantised();
    let Opened { base, tokenizer, template, train, test, test_conversations, about: mut inputs, .. } = opened;
    let held_out = test.context("the experiment has no test set to compare on")?;
    let (mut text, mut questions, mut samples) = (None, Vec::new(), Vec::new());
    if arguments.scale.is_made_up() {
        let nano = Nano::of(&experiment, &options.cache)?;
        text = Some(nano.held_out_prose()?);
        questions = nano.world.eval_items().into_iter().map(question).collect();
        inputs.push(format!("{} held-out questions, none of which tuning asks", questions.len()));
    } else {
        let short = |c: &&Conversation| c.messages[0].content.len() < 200;
        samples = test_conversations.iter().filter(short).take(3).cloned().collect();
    }
    Ok(Supplies {
        base,
        tokenizer,
        template,
        train,
        held_out,
        text,
        questions,
        samples,
        is_right: score,
        requantised,
        inputs,
    })
}

fn question(item: camelid_data::nano::EvalItem) -> Question {
    Question {
        id: item.id,
        family: item.family.as_str().to_owned(),
        messages: item.conversation.messages,
        expected: item.expected,
    }
}

/// Options from the environment, this command's flags, and the mirror that lies
/// beside the checkout where no other is named.
fn fetch_options(arguments: &GuanacoArguments) -> anyhow::Result<FetchOptions> {
    let mut options = FetchOptions::from_env()?;
    options.offline |= arguments.offline;
    let beside = workspace().join("../shared/oracles");
    if options.mirror.is_none() && beside.is_dir() {
        options.mirror = Some(beside);
    }
    Ok(options)
}

/// Whether the base has been made, or need not be.
pub fn base_exists(arguments: &GuanacoArguments) -> anyhow::Result<bool> {
    let made_up = arguments.scale.is_made_up();
    Ok(!made_up || Nano::of(&experiment(arguments.scale)?, &runs(arguments))?.is_made())
}

/// The folder of all runs.
pub fn runs(arguments: &GuanacoArguments) -> PathBuf {
    arguments.runs.clone().unwrap_or_else(|| workspace().join("runs"))
}

/// Every value of an arm's saved adapter, in the file's order.
fn read_adapter(folder: &Path) -> anyhow::Result<Vec<f32>> {
    let path = folder.join("adapter").join("adapter_model.safetensors");
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

/// Digest of every byte of the base's files, of the template, and of every token and question.
fn fingerprint(supplies: &Supplies) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    let mut files = vec![supplies.base.clone()];
    if supplies.base.is_dir() {
        let entries = std::fs::read_dir(&supplies.base)?.collect::<Result<Vec<_>, _>>()?;
        files = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
    }
    for path in files {
        let file = std::fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::io::copy(&mut std::io::BufReader::new(file), &mut HashWriter(&mut digest))
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    digest.update(supplies.template.definition());
    for set in [&supplies.train, &supplies.held_out].into_iter().chain(&supplies.text) {
        for example in &set.examples {
            digest.update(example.ids.len().to_le_bytes());
            example.ids.iter().for_each(|id| digest.update(id.to_le_bytes()));
            example.labels.iter().for_each(|label| digest.update(label.to_le_bytes()));
        }
    }
    for question in &supplies.questions {
        digest.update(format!("{}\n{:?}\n{}\n", question.id, question.messages, question.expected));
    }
    Ok(hex(&digest.finalize()))
}

/// Hashes what is written to it.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
