#![doc = include_str!("../README.md")]

mod asking;
pub mod auto;
mod decontaminate;
mod duplicates;
mod error;
mod evolution;
mod forecast;
pub mod lineage;
mod mix;
mod operators;
pub mod published;
mod reply;
mod report;
mod rules;
pub mod self_instruct;
mod template;
mod words;

pub use asking::{Desk, Model, Stage};
pub use auto::{AutoEvolve, AutoSettings, Version};
pub use decontaminate::{ContaminationSettings, Decontaminator, Hit, SHORTEST, TestItem};
pub use duplicates::Duplicates;
pub use error::EvolveError;
pub use evolution::{Evolution, EvolutionSettings, Models, Seed};
pub use forecast::Forecast;
pub use lineage::{Call, Row, Spent, Task};
pub use mix::{Mix, mix};
pub use operators::{Kind, Law, Operator, OperatorSet};
pub use reply::Equality;
pub use report::{EvolveReport, Example, FoundItem, Leaked, Passed};
pub use rules::{Ended, Rule, RuleSettings};
pub use self_instruct::{Demonstration, SelfInstruct, SelfInstructSettings};
pub use template::{Slot, Template};
