#![doc = include_str!("../README.md")]

pub mod claims;
pub mod compare;
#[cfg(feature = "models")]
pub mod exact_match;
pub mod ratings;
