#![doc = include_str!("../README.md")]

mod adapter;
mod attach;
mod config;
mod context;
mod embedding;
mod error;
mod host;
mod layer_pattern;
mod linear;
mod merge;
mod peft;
mod python_regex;
mod targets;

pub use camelid_files::FileError;
pub use camelid_quant::{BaseLinear, DenseLinear, QuantLinear};

pub use adapter::{Dora, LoraAdapter};
pub use attach::{attach, detach};
pub use config::{LayerSettings, LoraConfig};
pub use context::ForwardContext;
pub use embedding::Embedding;
pub use error::LoraError;
pub use host::{AdapterHost, ModuleMut, ModuleRef, Tied};
pub use layer_pattern::LayerPattern;
pub use linear::LoraLinear;
pub use merge::{
    Folded, LayerMerge, LogitDifference, MergeInto, MergeReport, MergeUndo, fold, merge, unmerge,
};
pub use peft::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, LoadedAdapter, PeftNote, load_peft, read_peft_config, save_peft,
};
pub use targets::{Choice, ModuleSet, Targets};
