//! The file of settings of `camelid evolve run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_chat::Role;
use camelid_chat::requests::RequestStore;
use camelid_data::catalogue::FetchOptions;
use camelid_data::{DataFormat, ReadOptions, read_conversations, read_detected};
use camelid_evolve::published::{self, Edition};
use camelid_evolve::{
    AutoSettings, ContaminationSettings, Desk, EvolutionSettings, Law, OperatorSet, Seed,
    SelfInstructSettings, TestItem,
};
use camelid_files::{Input, stem};
use camelid_recipe::Respondent;
use serde::{Deserialize, Serialize};

use crate::data::reading::tell;
use crate::data::test_sets;
use crate::waiting::stop_on_ctrl_c_twice_to_end;

/// What is evolved, how, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How instructions are made.
    #[serde(default)]
    pub method: Method,
    /// File of the seeds, in any format that `camelid data show` reads; a path is taken from the
    /// folder of the settings. The first question and answer of each conversation is a seed.
    pub seeds: PathBuf,
    /// Its format; told from the content unless given.
    #[serde(default)]
    pub format: Option<DataFormat>,
    /// Use the first seeds only.
    #[serde(default)]
    pub first: Option<usize>,
    /// Whether the seeds' own answers are thrown away and asked for anew.
    #[serde(default)]
    pub answer_seeds: bool,
    /// `general`, `code`, `math`, or a file of prompts; for Self-Instruct, a text that stands before the
    /// list of tasks, with `{tasks}` for their number.
    #[serde(default = "general")]
    pub prompts: String,
    /// For a file of the published prompts: which of its editions.
    #[serde(default)]
    pub edition: Option<Edition>,
    /// By which law operators are drawn.
    #[serde(default)]
    pub law: Law,
    /// Weights of operators, 1 unless given; 0 takes one out.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// Rounds, attempts, seed, rules.
    #[serde(default)]
    pub evolution: EvolutionSettings,
    /// How many instructions Self-Instruct makes, from how many demonstrations, by which rules.
    #[serde(default)]
    pub self_instruct: Option<SelfInstructSettings>,
    /// Test sets with which no row may share text.
    #[serde(default)]
    pub against: Vec<Against>,
    /// What counts as shared.
    #[serde(default)]
    pub contamination: ContaminationSettings,
    /// Who rewrites instructions.
    pub evolver: Respondent,
    /// Who answers them; the evolver unless given.
    #[serde(default)]
    pub answerer: Option<Respondent>,
    /// Who compares and rates them; the evolver unless given.
    #[serde(default)]
    pub judge: Option<Respondent>,
    /// `evolve tune`: who proposes methods; the evolver unless given.
    #[serde(default)]
    pub optimizer: Option<Respondent>,
    /// `evolve tune`: how many methods are tried, on how many seeds.
    #[serde(default)]
    pub auto: AutoSettings,
    /// Most that a run may spend, in the currency of the prices.
    #[serde(default)]
    pub spending_limit: Option<f64>,
}

/// How instructions are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By evolution of the seeds (WizardLM).
    #[default]
    EvolInstruct,
    /// After demonstrations drawn from the seeds (Stanford Alpaca).
    SelfInstruct,
}

fn general() -> String {
    "general".to_owned()
}

/// A test set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// `humaneval`, `mbpp`, `gsm8k`, `mt-bench`, `vicuna`, `wizardlm` or another name of the catalogue;
    /// with a file, the name that hits have.
    #[serde(default)]
    pub set: Option<String>,
    /// A file of JSON rows with a question each; a path is taken from the folder of the settings.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

impl Config {
    /// Replies are kept in `store`; Ctrl-C and the spending limit end a run before its end. Once in a run
    /// of the program.
    pub fn desk<'a>(&self, store: &'a RequestStore) -> Result<Desk<'a>> {
        let (stop, spending_limit) = (Some(stop_on_ctrl_c_twice_to_end()?), self.spending_limit);
        Ok(Desk { store, stop, spending_limit })
    }

    /// Reads a file of settings.
    pub fn read(path: &Path) -> Result<Self> {
        let text = Input::open(path)?.text()?;
        let mut config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.seeds = folder.join(&config.seeds);
        for against in &mut config.against {
            against.file = against.file.take().map(|file| folder.join(file));
        }
        if !["general", "code", "math"].contains(&config.prompts.as_str()) {
            config.prompts = folder.join(&config.prompts).to_string_lossy().into_owned();
        }
        let respondents = [Some(&config.evolver), config.answerer.as_ref(), config.judge.as_ref()];
        if config.spending_limit.is_some() && respondents.into_iter().flatten().all(|r| r.prices.is_none()) {
            bail!("{}: `spending_limit` needs `prices` to hold spending against", path.display());
        }
        if let Some(setting) = config.foreign() {
            bail!("{}: `{setting}` is no setting of this `method`", path.display());
        }
        Ok(config)
    }

    /// A setting that the method does not have.
    fn foreign(&self) -> Option<&'static str> {
        let of_evolution = [
            (self.answer_seeds, "answer_seeds"),
            (self.edition.is_some(), "edition"),
            (self.law != Law::default(), "law"),
            (!self.weights.is_empty(), "weights"),
            (self.evolution != EvolutionSettings::default(), "evolution"),
            (self.answerer.is_some(), "answerer"),
            (self.judge.is_some(), "judge"),
            (self.format.is_some(), "format"),
        ];
        let foreign: &[_] = match self.method {
            Method::EvolInstruct => &[(self.self_instruct.is_some(), "self_instruct")],
            Method::SelfInstruct => &of_evolution,
        };
        foreign.iter().find(|(set, _)| *set).map(|(_, name)| *name)
    }

    /// The operators under the law.
    pub fn operators(&self) -> Result<OperatorSet> {
        let set = match (self.prompts.as_str(), self.edition) {
            (path, Some(edition)) => published::read(Path::new(path), edition)?,
            (own @ ("general" | "code" | "math"), None) => OperatorSet::own(own)?,
            (path, None) => OperatorSet::read(Path::new(path))?,
        };
        Ok(set.under(self.law, &self.weights)?)
    }

    /// The items of all test sets.
    pub fn test_items(&self) -> Result<Vec<TestItem>> {
        let mut items = Vec::new();
        for against in &self.against {
            items.extend(match (&against.set, &against.file) {
                (set, Some(file)) => test_sets::read(&set.clone().unwrap_or_else(|| stem(file)), file)
                    .context("against.file")?,
                (Some(set), None) => test_sets::items(set, &FetchOptions::from_env()?)
                    .with_context(|| format!("against.set = \"{set}\""))?,
                (None, None) => bail!("an entry of `against` names neither a `set` nor a `file`"),
            });
        }
        Ok(items)
    }

    /// The seeds; says what was dropped.
    pub fn seeds(&self) -> Result<Vec<Seed>> {
        let files = [self.seeds.clone()];
        let options = ReadOptions::default();
        let loaded = match self.format {
            Some(format) => read_conversations(format, &files, &options)?,
            None => read_detected(&files, &options)?.1,
        };
        tell(&loaded.report, "read");
        let says = |conversation: &camelid_chat::Conversation, role| {
            let mut said = conversation.messages.iter().filter(|message| message.role == role);
            said.next().map(|message| message.content.clone())
        };
        let seed = |conversation: &camelid_chat::Conversation| {
            Some(Seed {
                instruction: says(conversation, Role::User)?,
                response: says(conversation, Role::Assistant).filter(|_| !self.answer_seeds),
            })
        };
        let seeds = loaded.conversations.iter().filter_map(seed);
        Ok(seeds.take(self.first.unwrap_or(usize::MAX)).collect())
    }
}
