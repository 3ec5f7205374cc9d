//! Models as judges of models' answers.

pub mod requests;
