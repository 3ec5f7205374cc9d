//! A packed checkpoint written tensor by tensor, for models larger than memory.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use camelid_quant::{PIECE_VALUES, QuantConfig, QuantError, QuantizedTensor, bnb};
use half::bf16;
use safetensors::Dtype;

use super::WeightSource;
use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::expected::expected_tensors;

/// What [`write_packed`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written {
    /// Bytes of the weights' file.
    pub bytes: u64,
    /// Seconds from the start to the end.
    pub seconds: f64,
    /// Of them waiting for the disk.
    pub waiting_seconds: f64,
    /// Seconds that the writing thread wrote.
    pub writing_seconds: f64,
}

/// Bytes of the tensors of the file that [`write_packed`] writes.
pub fn packed_file_bytes(config: &LlamaConfig, quant: &QuantConfig) -> u64 {
    let bytes = |(_, dtype, shape): &bnb::Planned| shape.iter().product::<usize>() * dtype.bitsize() / 8;
    planned(config, quant).iter().map(|planned| bytes(planned) as u64).sum()
}

/// Writes `model.safetensors` and `config.json` into `folder`: the blocks' linear layers in
/// bitsandbytes' 4-bit format, embedding and head in bfloat16, the rest in f32.
///
/// Every tensor of `source` is read in pieces and packed while the one before is written, so
/// about two packed tensors are in memory. The file appears when it is whole.
///
/// # Errors
/// When a tensor is missing, cannot be read in pieces or holds a value that is not finite, and
/// when there is no space for the file, which is found before anything is computed.
pub fn write_packed(
    source: &dyn WeightSource,
    quant: &QuantConfig,
    folder: &Path,
) -> Result<Written, ModelError> {
    let started = Instant::now();
    let config = source.config()?;
    let linears = linear_names(&config);
    let weights = folder.join("model.safetensors");
    let mut writer = bnb::FileWriter::create(&weights, &planned(&config, quant), &[("format", "pt")])?;
    let bytes = writer.bytes();
    let config_file = folder.join("config.json");
    std::fs::write(&config_file, config.to_value().to_string()).map_err(ModelError::io(&config_file))?;

    let mut waiting_seconds = 0.0;
    let (made, to_write) = mpsc::sync_channel::<(String, Made)>(1);
    let writing_seconds = std::thread::scope(|scope| {
        let thread = scope.spawn(move || -> Result<f64, QuantError> {
            let mut seconds = 0.0;
            for (name, tensor) in to_write {
                let started = Instant::now();
                match tensor {
                    Made::Packed(q) => writer.write_quantized(&name, &q)?,
                    Made::Dense(bytes) => writer.write(&name, &bytes)?,
                }
                seconds += started.elapsed().as_secs_f64();
            }
            let started = Instant::now();
            writer.finish()?;
            Ok(seconds + started.elapsed().as_secs_f64())
        });
        for (name, shape) in expected_tensors(&config) {
            let tensor = match linears.contains(&name) {
                true => Made::Packed(packed(source, &name, &shape, quant)?),
                false => Made::Dense(dense(source, &name, &shape)?),
            };
            let waiting = Instant::now();
            // A writer that stopped says why when it is joined.
            if made.send((name, tensor)).is_err() {
                break;
            }
            waiting_seconds += waiting.elapsed().as_secs_f64();
        }
        drop(made);
        let waiting = Instant::now();
        let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        waiting_seconds += waiting.elapsed().as_secs_f64();
        Ok::<f64, ModelError>(written?)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Written { bytes, seconds, waiting_seconds, writing_seconds })
}

/// A tensor on its way to the file.
enum Made {
    Packed(QuantizedTensor),
    Dense(Vec<u8>),
}

fn linear_names(config: &LlamaConfig) -> BTreeSet<String> {
    config.linear_shapes().map(|linear| format!("{}.weight", linear.path)).collect()
}

fn planned(config: &LlamaConfig, quant: &QuantConfig) -> Vec<bnb::Planned> {
    let linears = linear_names(config);
    let mut planned = Vec::new();
    for (name, shape) in expected_tensors(config) {
        if linears.contains(&name) {
            planned.extend(bnb::planned_for(&name, &shape, quant));
        } else {
            let dtype = if is_table(&shape) { Dtype::BF16 } else { Dtype::F32 };
            planned.push((name, dtype, shape));
        }
    }
    planned
}

fn is_table(shape: &[usize]) -> bool {
    shape.len() == 2
}

fn packed(
    source: &dyn WeightSource,
    name: &str,
    shape: &[usize],
    quant: &QuantConfig,
) -> Result<QuantizedTensor, ModelError> {
    check_shape(source, name, shape)?;
    QuantizedTensor::quantize_pieces(name, shape, quant, |first, piece| source.read_piece(name, first, piece))
}

/// Little-endian bytes of a dense tensor.
fn dense(source: &dyn WeightSource, name: &str, shape: &[usize]) -> Result<Vec<u8>, ModelError> {
    check_shape(source, name, shape)?;
    let len: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(len * if is_table(shape) { 2 } else { 4 });
    let mut piece = vec![0.0; PIECE_VALUES.min(len)];
    for first in (0..len).step_by(PIECE_VALUES) {
        let piece = &mut piece[..PIECE_VALUES.min(len - first)];
        source.read_piece(name, first, piece)?;
        match is_table(shape) {
            true => bytes.extend(piece.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
            false => bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes())),
        }
    }
    Ok(bytes)
}

fn check_shape(source: &dyn WeightSource, name: &str, expected: &[usize]) -> Result<(), ModelError> {
    let Some(found) = source.shape_in_pieces(name) else {
        return Err(ModelError::Tensor {
            origin: source.describe(),
            name: name.to_owned(),
            problem: "is missing, packed already, or in a container that only gives whole tensors".into(),
        });
    };
    match found == expected {
        true => Ok(()),
        false => Err(ModelError::Shape {
            origin: source.describe(),
            name: name.to_owned(),
            expected: expected.to_vec(),
            found,
        }),
    }
}
