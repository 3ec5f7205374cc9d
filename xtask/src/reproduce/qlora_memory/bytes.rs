//! Bytes: of a model's file, and for people.

use camelid_model::{LlamaConfig, packed_file_bytes};
use camelid_quant::QuantConfig;

/// Bytes of the file that holds this model.
pub fn file_bytes(model: &LlamaConfig) -> u64 {
    packed_file_bytes(model, &QuantConfig::default())
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= f64::from(1 << 30) => format!("{:.2} GiB", b / f64::from(1 << 30)),
        b => format!("{:.1} MiB", b / f64::from(1 << 20)),
    }
}
