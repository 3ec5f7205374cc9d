//! A model from its files to NF4 in memory: what `benches/peers/loading.py` takes turns with.
//!
//! `load_times MODEL`: quantises the linear layers as they are read, with double quantisation; embedding and head
//! are held in bf16. Prints one line of JSON: `seconds` of it, `peak_mib` and `held_mib` of the process at most
//! and afterwards, `before_mib` of the process before, `parameters`, and the processor.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use camelid_kernels::{Isa, processor_name};
use camelid_model::{DenseStorage, Llama, LoadOptions, WeightStorage, open_weights};
use camelid_quant::QuantConfig;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("expected MODEL")?;
    let before_mib = mib("VmHWM:")?;
    let start = Instant::now();
    let weights = open_weights(Path::new(&path))?;
    let options = LoadOptions {
        linears: WeightStorage::Quantized(QuantConfig::default()),
        embeddings: DenseStorage::Bf16.into(),
    };
    let model = Llama::load_with(weights.as_ref(), &options, &Device::flex())?;
    drop(weights);
    let seconds = start.elapsed().as_secs_f64();
    let found = json!({
        "seconds": seconds,
        "peak_mib": mib("VmHWM:")?,
        "held_mib": mib("VmRSS:")?,
        "before_mib": before_mib,
        "parameters": model.config().parameter_count(),
        "processor": format!("{} ({}), {} threads", processor_name(), Isa::active(), rayon::current_num_threads()),
    });
    println!("{found}");
    Ok(())
}

/// A size that the system counts for this process, in MiB.
fn mib(field: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.ok_or_else(|| format!("/proc/self/status has no line {field}"))? / 1024.0)
}
