#![doc = include_str!("../README.md")]

#[cfg(feature = "models")]
pub mod exact_match;
#[cfg(feature = "judge")]
pub mod judge;
#[cfg(feature = "models")]
pub mod longeval;
#[cfg(feature = "report")]
pub mod report;
#[cfg(feature = "models")]
pub mod score;
#[cfg(feature = "models")]
pub mod tasks;
