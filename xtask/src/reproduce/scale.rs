//! How large a reproduction is.

use anyhow::bail;
use camelid_model::LlamaConfig;
use camelid_recipe::{Experiment, known_shape, nano};
use clap::ValueEnum;

use crate::workspace::workspace;

/// How large a reproduction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// A few million parameters, pre-trained here on made-up text
    Nano,
    /// SmolLM2-135M and real conversations or instructions
    Smol,
    /// The paper's settings for LLaMA 7B
    #[value(name = "7b")]
    B7,
    /// The paper's settings for LLaMA 13B
    #[value(name = "13b")]
    B13,
    /// The paper's settings for LLaMA 33B, called 30B
    #[value(name = "30b")]
    B30,
    /// The paper's settings for LLaMA 33B
    #[value(name = "33b")]
    B33,
    /// The paper's settings for Code Llama 34B
    #[value(name = "34b")]
    B34,
    /// The paper's settings for LLaMA 65B
    #[value(name = "65b")]
    B65,
    /// The paper's settings for Llama 2 70B
    #[value(name = "70b")]
    B70,
    /// The nano recipe in seconds, for tests: its figures mean nothing
    #[value(hide = true)]
    Check,
}

impl Scale {
    /// Its name, as in `experiments/<recipe>/<name>.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Nano => "nano",
            Scale::Smol => "smol",
            Scale::B7 => "7b",
            Scale::B13 => "13b",
            Scale::B30 => "30b",
            Scale::B33 => "33b",
            Scale::B34 => "34b",
            Scale::B65 => "65b",
            Scale::B70 => "70b",
            Scale::Check => "check",
        }
    }

    /// Whether the paper itself ran at this scale.
    pub fn is_the_papers(self) -> bool {
        !self.is_made_up() && self != Scale::Smol
    }

    /// Whether model and data are made here, from the nano world.
    pub fn is_made_up(self) -> bool {
        matches!(self, Scale::Nano | Scale::Check)
    }

    /// The scale that a claims file knows it by: the test size answers for nano.
    pub fn tested_as(self) -> &'static str {
        if self == Scale::Check { Scale::Nano.name() } else { self.name() }
    }

    /// The experiment of a recipe at this scale, `experiments/<recipe>/<scale>.toml`.
    pub fn experiment(self, recipe: &str) -> anyhow::Result<Experiment> {
        let folder = workspace().join("experiments").join(recipe);
        let path = folder.join(format!("{}.toml", self.name()));
        if !path.exists() {
            let has = |scale: &&Scale| folder.join(format!("{}.toml", scale.name())).exists();
            let scales: Vec<_> =
                Scale::value_variants().iter().filter(has).map(|scale| scale.name()).collect();
            bail!("{recipe} has no scale {}; it has {}", self.name(), scales.join(", "));
        }
        Ok(Experiment::read(&path)?)
    }

    /// The shape of its base, known before anything is fetched.
    pub fn shape(self) -> LlamaConfig {
        match self {
            Scale::Nano | Scale::Check => nano::config(nano::VOCABULARY),
            Scale::Smol => LlamaConfig::smollm2_135m(),
            Scale::B7 => LlamaConfig::llama_7b(),
            Scale::B13 => LlamaConfig::llama_13b(),
            Scale::B30 | Scale::B33 => LlamaConfig::llama_33b(),
            Scale::B34 => known_shape("codellama-34b-python-hf").unwrap_or_else(LlamaConfig::llama_33b),
            Scale::B65 => LlamaConfig::llama_65b(),
            Scale::B70 => known_shape("llama-2-70b").unwrap_or_else(LlamaConfig::llama_65b),
        }
    }
}
