#![doc = include_str!("../README.md")]

mod base;
mod budget;
mod children;
pub mod claims;
pub mod compare;
mod comparison;
mod digits;
mod error;
mod experiment;
mod machines;
pub mod nano;
mod open;
mod options;
mod outcome;
mod preflight;
mod report;
mod shape;

pub use budget::{Budget, Charge, DeviceMemory};
pub use children::{Children, watch_for_interrupt};
pub use comparison::{Arm, Comparison, Ran};
pub use digits::rounded;
pub use error::RecipeError;
pub use experiment::{DataSection, Expected, Experiment, Length, ModelSection, Storage, TestSet};
pub use machines::{Machine, Machines};
pub use open::{OpenOptions, Opened};
pub use options::RunOptions;
pub use outcome::Stored;
pub use report::{ClaimRow, Report, RunFacts, machine, today};
pub use shape::known_shape;
