//! Made-up weights of any shape, for measurements that ask for sizes rather than for sense.

use pulp::Arch;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{LoadedTensor, StoredType, WeightSource};
use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::expected::expected_tensors;

/// Standard deviation of the values: transformers' `initializer_range`.
const STD: f32 = 0.02;
/// Values that one task makes.
const TASK: usize = 1 << 14;

/// A model's weights made from a seed as they are read: norms are ones, biases zeros, everything
/// else bell-shaped around zero with standard deviation 0.02.
///
/// Each value depends on the seed, the tensor's name and its place in the tensor alone, so any
/// piece can be made at any time; and it takes a few nanoseconds, so models of any size can.
#[derive(Clone, Debug)]
pub struct GeneratedWeights {
    config: LlamaConfig,
    seed: u64,
}

impl GeneratedWeights {
    /// Weights for a model of this configuration.
    pub fn new(config: LlamaConfig, seed: u64) -> Self {
        Self { config, seed }
    }

    /// Every tensor with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        expected_tensors(&self.config)
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        let found = self.tensors().into_iter().find(|(known, _)| known == name);
        found.map(|(_, shape)| shape).ok_or_else(|| ModelError::Tensor {
            origin: self.describe(),
            name: name.into(),
            problem: "is not among the weights".into(),
        })
    }
}

impl WeightSource for GeneratedWeights {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        Ok(self.config.clone())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors().into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        let shape = self.shape(name)?;
        let mut values = vec![0.0; shape.iter().product()];
        self.read_piece(name, 0, &mut values)?;
        Ok(LoadedTensor::Dense { shape, values, stored: StoredType::F32 })
    }

    fn shape_in_pieces(&self, name: &str) -> Option<Vec<usize>> {
        self.shape(name).ok()
    }

    fn read_piece(&self, name: &str, first: usize, values: &mut [f32]) -> Result<(), ModelError> {
        if name.ends_with("norm.weight") {
            values.fill(1.0);
        } else if name.ends_with(".bias") {
            values.fill(0.0);
        } else {
            let key = key(self.seed, name);
            values.par_chunks_mut(TASK).enumerate().for_each(|(i, values)| {
                fill(key, first + i * TASK, values);
            });
        }
        Ok(())
    }

    fn describe(&self) -> String {
        format!("weights generated from seed {}", self.seed)
    }
}

/// A key of its own for each tensor.
fn key(seed: u64, name: &str) -> [u32; 2] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    let digest = hash.finalize();
    let word = |i: usize| u32::from_le_bytes([digest[i], digest[i + 1], digest[i + 2], digest[i + 3]]);
    [word(0), word(4)]
}

/// Values `first..` of the tensor with this key, with the vector instructions the machine has.
fn fill(key: [u32; 2], first: usize, values: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (i, value) in values.iter_mut().enumerate() {
                *value = bell(key, (first + i) as u32);
            }
        },
    );
}

/// Value `i`: the sum of the four bytes of a hash of `i` (MurmurHash3's finaliser, Appleby 2011,
/// keyed before and within), which is nearly normal (Irwin 1927, Hall 1927: excess kurtosis −0.3).
#[inline(always)]
fn bell(key: [u32; 2], i: u32) -> f32 {
    // The variance of a byte is (256² − 1) / 12, that of the sum four times as much.
    const SCALE: f32 = STD / 147.800_32;
    let mut h = i.wrapping_mul(0x9E37_79B9) ^ key[0];
    h = (h ^ (h >> 16)).wrapping_mul(0x85EB_CA6B) ^ key[1];
    h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
    h ^= h >> 16;
    let pairs = (h & 0x00FF_00FF) + ((h >> 8) & 0x00FF_00FF);
    let sum = (pairs & 0xFFFF) + (pairs >> 16);
    (sum as i32 - 510) as f32 * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(seed: u64) -> GeneratedWeights {
        GeneratedWeights::new(LlamaConfig::smollm2_135m(), seed)
    }

    fn values(source: &GeneratedWeights, name: &str, first: usize, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        source.read_piece(name, first, &mut values).unwrap();
        values
    }

    const NAME: &str = "model.layers.3.mlp.up_proj.weight";

    #[test]
    fn values_are_nearly_normal() {
        let values = values(&source(1), NAME, 0, 1 << 18);
        let n = values.len() as f64;
        let moment = |p: i32| values.iter().map(|v| (f64::from(*v) / 0.02).powi(p)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "{}", moment(2));
        assert!(moment(3).abs() < 0.02, "{}", moment(3));
        assert!((moment(4) - 2.7).abs() < 0.05, "{}", moment(4));
        // Neighbours do not know of each other.
        let lagged = values.windows(2).map(|v| f64::from(v[0]) * f64::from(v[1]) / 4e-4).sum::<f64>() / n;
        assert!(lagged.abs() < 0.01, "{lagged}");
    }

    #[test]
    fn a_value_depends_on_seed_name_and_place_alone() {
        let whole = values(&source(1), NAME, 0, 100_000);
        assert_eq!(whole[60_001..], values(&source(1), NAME, 60_001, 39_999));
        assert_ne!(whole[..64], values(&source(2), NAME, 0, 64));
        assert_ne!(whole[..64], values(&source(1), "model.layers.4.mlp.up_proj.weight", 0, 64));
    }

    #[test]
    fn every_tensor_of_the_configuration_can_be_read() {
        let source = source(0);
        for name in source.names() {
            let shape = source.shape_in_pieces(&name).unwrap();
            assert!(shape.iter().product::<usize>() > 0, "{name}");
        }
        assert!(source.read("model.layers.99.mlp.up_proj.weight").is_err());
    }
}
