#![doc = include_str!("../README.md")]

pub mod claims;
pub mod compare;
pub mod exact_match;
