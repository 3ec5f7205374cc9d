//! The shapes to choose from.

use std::fmt;

use camelid_model::{LlamaConfig, RopeScaling};
use clap::ValueEnum;

use camelid_recipe::nano;

/// A model's shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
    /// The nano recipe's model, 1.7 M parameters: seconds, for tests
    Nano,
    /// SmolLM2-135M
    Smol,
    /// 110 M parameters, as in the benches
    #[value(name = "110m")]
    M110,
    /// LLaMA 7B
    #[value(name = "7b")]
    B7,
    /// LLaMA 13B
    #[value(name = "13b")]
    B13,
    /// LLaMA 33B
    #[value(name = "33b")]
    B33,
    /// LLaMA 65B
    #[value(name = "65b")]
    B65,
}

impl Size {
    /// The model's configuration.
    pub fn model(self) -> LlamaConfig {
        match self {
            Size::Nano => nano::config(nano::VOCABULARY),
            Size::Smol => LlamaConfig::smollm2_135m(),
            Size::M110 => m110(),
            Size::B7 => LlamaConfig::llama_7b(),
            Size::B13 => LlamaConfig::llama_13b(),
            Size::B33 => LlamaConfig::llama_33b(),
            Size::B65 => LlamaConfig::llama_65b(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Size::Nano => "nano",
            Size::Smol => "smol",
            Size::M110 => "110m",
            Size::B7 => "7b",
            Size::B13 => "13b",
            Size::B33 => "33b",
            Size::B65 => "65b",
        })
    }
}

fn m110() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 32_000,
        hidden_size: 768,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        num_key_value_heads: 12,
        head_dim: 64,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        ..LlamaConfig::llama_7b()
    }
}
