#![doc = include_str!("../README.md")]

mod base;
mod error;
mod experiment;
pub mod nano;
mod open;
mod preflight;

pub use error::RecipeError;
pub use experiment::{DataSection, Experiment, Length, ModelSection, Storage, TestSet};
pub use open::{OpenOptions, Opened};
