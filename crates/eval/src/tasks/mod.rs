//! Benchmarks: what is asked, how an answer is read, and what the scores mean.

pub mod pass_at_k;
pub mod programs;
pub mod sandbox;
