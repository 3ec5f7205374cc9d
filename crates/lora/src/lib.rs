#![doc = include_str!("../README.md")]

mod config;
mod context;
mod error;
mod host;
mod linear;
mod merge;
mod peft;

pub use config::{LoraConfig, Targets};
pub use context::ForwardContext;
pub use error::LoraError;
pub use host::{AdapterHost, attach, detach};
pub use linear::{LoraAdapter, LoraLinear};
pub use merge::{LayerMerge, LogitDifference, MergeInto, MergeReport, MergeUndo, merge, unmerge};
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, load_peft, read_peft_config, save_peft};
