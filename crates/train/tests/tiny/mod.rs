//! A very small LLaMA and made-up data to train it on.

#![allow(dead_code)] // each test file uses its own part

use std::path::Path;

use burn::tensor::Device;
use camelid_data::{Example, TokenizedSet};
use camelid_lora::{LoraConfig, attach};
use camelid_model::{Llama, LlamaConfig};
use camelid_train::{LrSchedule, Silent, TrainSettings, Trainer};

pub const VOCAB: usize = 48;

pub fn config(tied: bool) -> LlamaConfig {
    let mut value = camelid_tests::tiny_llama(VOCAB, 32, 3);
    value["tie_word_embeddings"] = tied.into();
    LlamaConfig::from_value(&value, "tiny").unwrap()
}

/// All parameters train.
pub fn full_model(seed: u64, tied: bool) -> Llama {
    Llama::random(&config(tied), seed, &Device::flex().autodiff())
}

/// Only adapters train; with dropout.
pub fn lora_model(seed: u64) -> Llama {
    let lora = LoraConfig { r: 4, lora_alpha: 8.0, lora_dropout: 0.1, ..LoraConfig::default() };
    attach(full_model(seed, false), &lora, seed, &Device::flex().autodiff()).unwrap()
}

/// Examples of 6 to 20 tokens that count upwards from somewhere; the first 2 carry no loss.
pub fn data(examples: u32, first: u32) -> TokenizedSet {
    let example = |n: u32| {
        let ids: Vec<u32> = (0..6 + (n * 5) % 15).map(|i| (n * 3 + i) % VOCAB as u32).collect();
        let labels = ids.iter().enumerate().map(|(i, id)| if i < 2 { -100 } else { i64::from(*id) });
        Example { id: format!("example-{n}"), labels: labels.collect(), ids }
    };
    TokenizedSet { examples: (first..first + examples).map(example).collect(), report: Default::default() }
}

pub fn settings() -> TrainSettings {
    TrainSettings {
        seed: 7,
        learning_rate: 1e-2,
        lr_schedule: LrSchedule::Cosine,
        warmup_ratio: 0.1,
        max_steps: 12,
        micro_batch_size: 2,
        grad_accum: 2,
        max_grad_norm: 1.0,
        weight_decay: 0.01,
        save_every: 3,
        ..TrainSettings::default()
    }
}

pub fn trainer(model: Llama, settings: TrainSettings, dir: &Path) -> Trainer<Llama> {
    Trainer::new(model, settings, data(11, 0), Some(data(4, 100)), dir, Box::new(Silent)).unwrap()
}

/// The files of the checkpoint after `step` that training decides.
pub fn trained_bytes(dir: &Path, step: usize) -> [Vec<u8>; 2] {
    let checkpoint = dir.join(format!("checkpoints/step-{step:06}"));
    ["trainable.safetensors", "optimizer.safetensors"].map(|file| {
        let path = checkpoint.join(file);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    })
}

/// Names of the checkpoints in a run's folder.
pub fn checkpoints(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("checkpoints")).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
