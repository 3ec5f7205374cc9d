#![doc = include_str!("../README.md")]

mod decontaminate;
mod error;
mod evolution;
pub mod lineage;
mod operators;
pub mod published;
mod reply;
mod rules;
mod template;
mod words;

pub use decontaminate::{ContaminationSettings, Decontaminator, Hit, SHORTEST, TestItem};
pub use error::EvolveError;
pub use evolution::{Evolution, EvolutionSettings, Model, Models, Screen, Seed, Stage};
pub use lineage::{Call, Row, Task};
pub use operators::{Kind, Law, Operator, OperatorSet};
pub use reply::Equality;
pub use rules::{Ended, Rule, RuleSettings};
pub use template::{Slot, Template};
