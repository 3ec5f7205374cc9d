#![doc = include_str!("../README.md")]

#[cfg(feature = "models")]
pub mod answers;
#[cfg(feature = "models")]
pub mod exact_match;
#[cfg(feature = "judge")]
pub mod judge;
#[cfg(feature = "models")]
mod language_model;
#[cfg(feature = "models")]
pub mod longeval;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "models")]
pub mod score;
#[cfg(feature = "models")]
pub mod tasks;

#[cfg(feature = "models")]
pub use language_model::{
    Completion, ContinuationScore, GenerateRequest, LanguageModel, Likelihood, LocalModel,
    LoglikelihoodRequest, MessagesOnly, ModelFailure, RollingRequest, RollingScore,
};
