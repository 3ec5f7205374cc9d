#![doc = include_str!("../README.md")]

mod clock;
mod device;
mod error;
mod inputs;
mod llama_110m;
mod machine;
mod row;
pub mod rows;
mod serve;

pub use clock::{OTHERS_ALLOWED, Watch};
pub use device::{device, finish};
pub use error::BenchError;
pub use inputs::{Packed, random};
pub use llama_110m::{dense, llama_110m, packed};
pub use machine::Machine;
pub use row::{Row, Unit, Work};
pub use serve::{Answer, Request, Sample, serve};
