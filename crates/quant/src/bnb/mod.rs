//! bitsandbytes' 4-bit safetensors: `Linear4bit` weights as transformers saves
//! them.
//!
//! A weight `w` is stored as `w` (U8 codes, `[(n + 1) / 2, 1]`), `w.absmax`,
//! `w.quant_map` and `w.quant_state.bitsandbytes__nf4` (a JSON object as bytes);
//! with double quantisation `w.absmax` is U8 and `w.nested_absmax` and
//! `w.nested_quant_map` join it. INT4 is written in the same manner with
//! quant_type `int4`: this crate reads it back, bitsandbytes does not know it.
//!
//! ```
//! use std::path::Path;
//! use camelid_quant::{QuantConfig, QuantizedTensor, bnb};
//!
//! # fn main() -> Result<(), camelid_quant::QuantError> {
//! let weight = QuantizedTensor::quantize("w", &[0.5; 128], &[2, 64], &QuantConfig::default())?;
//! let bytes = bnb::to_bytes(&bnb::tensors_for("w", &weight), &[("format", "pt")]);
//!
//! let file = Path::new("model.safetensors");
//! let parsed = bnb::parse(&bytes, file)?;
//! assert_eq!(bnb::read_tensor(&parsed, file, "w")?, Some(weight));
//! # Ok(())
//! # }
//! ```

mod file;
mod file_writer;
mod python_float;
mod quant_state;
mod read;
mod write;

pub use file::{Entry, parse, to_bytes, write_file};
pub use file_writer::{FileWriter, Planned, planned_for};
pub use read::{WeightHeader, read_header, read_tensor};
pub use write::tensors_for;
