//! The tiny LLaMA that transformers, bitsandbytes and PEFT ran: files and readers.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_model::{Llama, WeightStorage, open_weights};
use safetensors::{Dtype, SafeTensors};

/// Largest absolute difference allowed to the golden logits.
pub const TOLERANCE: f32 = 1e-4;

/// The folder of the tiny LLaMA, when there are oracles.
pub fn folder() -> Option<PathBuf> {
    camelid_tests::oracles().map(|o| o.join("tiny_llama"))
}

/// One of its checkpoints as it is stored, `base_f32`, `base_nf4_dq`, ….
pub fn model(folder: &Path, base: &str, device: &Device) -> Llama {
    let source = open_weights(&folder.join(base)).unwrap();
    Llama::load(source.as_ref(), &WeightStorage::F32, device).unwrap()
}

/// The tensors of one golden file.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(path: PathBuf) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let words = view.data().as_chunks::<4>().0;
        words.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        file.tensor(name).unwrap().shape().to_vec()
    }

    pub fn integers(&self, name: &str) -> Vec<i64> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::I64, "{name}");
        let words = view.data().as_chunks::<8>().0;
        words.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    pub fn matrix(&self, name: &str, device: &Device) -> Tensor<2, Int> {
        let shape: [usize; 2] = self.shape(name).try_into().unwrap();
        Tensor::from_data(TensorData::new(self.integers(name), shape), device)
    }
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| {
        let d = (a - b).abs();
        // `max` alone would drop a NaN.
        if worst.is_nan() || d.is_nan() { f32::NAN } else { worst.max(d) }
    })
}

/// Asserts and prints, so that `--nocapture` shows the figures.
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    let d = max_difference(found, expected);
    println!("{what}: max |difference| {d:.2e}, allowed {tolerance:.0e}");
    assert!(d <= tolerance, "{what}: max |difference| {d}, allowed {tolerance}");
}
