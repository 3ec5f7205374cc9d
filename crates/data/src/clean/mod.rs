//! From raw ShareGPT pages to conversations that a model can be tuned on.
//!
//! [`clean`] reads a file of pages as ShareGPT stored them, turns HTML into Markdown, drops what
//! should not be learned and says of every conversation what became of it: [`Summary`] in figures,
//! a lineage file row by row.

mod blocked;
mod correct;
mod error;
pub mod exact;
mod judged;
mod lineage;
mod markdown;
mod options;
mod pattern;
mod personal;
mod process;
mod rule;
mod run;
mod summary;

pub use blocked::Blocked;
pub use error::CleanError;
pub use markdown::markdown;
pub use options::{CleanOptions, Shard};
pub use rule::{Cut, CutRule, Rule};
pub use run::clean;
pub use summary::{Dropped, Example, Histogram, LeftOut, Lengths, Side, Summary};
