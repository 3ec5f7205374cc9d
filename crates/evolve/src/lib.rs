#![doc = include_str!("../README.md")]

mod asking;
mod decontaminate;
mod duplicates;
mod error;
mod evolution;
pub mod lineage;
mod mix;
mod operators;
pub mod published;
mod reply;
mod report;
mod rules;
mod template;
mod words;

pub use asking::{Desk, Model, Stage};
pub use decontaminate::{ContaminationSettings, Decontaminator, Hit, SHORTEST, TestItem};
pub use error::EvolveError;
pub use evolution::{Evolution, EvolutionSettings, Models, Seed};
pub use lineage::{Call, Row, Task};
pub use mix::{Mix, mix};
pub use operators::{Kind, Law, Operator, OperatorSet};
pub use reply::Equality;
pub use report::{EvolveReport, Example, FoundItem, Leaked, Passed, Spent};
pub use rules::{Ended, Rule, RuleSettings};
pub use template::{Slot, Template};
