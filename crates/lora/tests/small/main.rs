//! Adapters of every kind on a small language model.

mod kinds;
mod model;
mod peft_files;
