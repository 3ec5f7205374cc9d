#![doc = include_str!("../README.md")]

pub mod alpaca;
mod batch;
pub mod catalogue;
pub mod clean;
mod dialogue;
mod error;
mod fields;
mod format;
pub mod guanaco;
mod load;
pub mod messages;
pub mod nano;
pub mod oasst;
pub mod packing;
mod read;
mod report;
mod rows;
mod sampler;
pub mod sharegpt;
mod split;
mod stats;
mod table;
pub mod tokens;
mod turns;
mod write;

pub use batch::Batch;
pub use dialogue::FirstTurn;
pub use error::DataError;
pub use format::{DataFormat, UnknownFormat};
pub use read::{ReadOptions, read_conversations, read_detected};
pub use report::{LoadReport, Loaded, Named, Tally};
pub use sampler::{Position, Sampler, SamplerKind};
pub use split::{TestSplit, split};
pub use stats::{Spread, Stats};
pub use tokens::{Example, TokenizeOptions, TokenizedSet, Truncation};
pub use write::{WRITABLE, write_conversations, write_json_lines};
