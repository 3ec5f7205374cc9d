//! How large a reproduction is.

use clap::ValueEnum;

/// How large a reproduction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// A few million parameters, pre-trained here on made-up text
    Nano,
    /// SmolLM2-135M and real OASST1 conversations
    Smol,
    /// The paper's settings for LLaMA 7B
    #[value(name = "7b")]
    B7,
    /// The paper's settings for LLaMA 13B
    #[value(name = "13b")]
    B13,
    /// The paper's settings for LLaMA 33B
    #[value(name = "33b")]
    B33,
    /// The paper's settings for LLaMA 65B
    #[value(name = "65b")]
    B65,
    /// The nano recipe in seconds, for tests: its figures mean nothing
    #[value(hide = true)]
    Check,
}

impl Scale {
    /// Its name, as in `experiments/guanaco/<name>.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Nano => "nano",
            Scale::Smol => "smol",
            Scale::B7 => "7b",
            Scale::B13 => "13b",
            Scale::B33 => "33b",
            Scale::B65 => "65b",
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
}
