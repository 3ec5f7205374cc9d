//! Weights that stream from their file train to the same bits as weights in memory.

use std::path::Path;

use burn::tensor::Device;
use camelid_data::Batch;
use camelid_data::tokens::Example;
use camelid_lora::{LoraConfig, attach};
use camelid_model::{
    DenseStorage, GeneratedWeights, Llama, LlamaConfig, LoadOptions, ModelError, StreamOptions,
    WeightStorage, open_weights, write_packed,
};
use camelid_paged_optim::{AdamWConfig, PagedAdamW, Spill, named_trainable_params};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, MicroBatch, Sft, Step, TrainError};

fn config() -> LlamaConfig {
    LlamaConfig::from_value(&camelid_tests::tiny_llama(64, 128, 6), "streaming").unwrap()
}

/// Bytes of a block's packed weights that stream: codes and one scale per 64 of them.
fn block_bytes(double_quant: bool) -> u64 {
    let scale = if double_quant { 1 } else { 4 };
    let values = |l: camelid_model::LinearShape| l.out_features * l.in_features;
    let bytes = |values: usize| (values / 2 + scale * values / 64) as u64;
    config().block_linear_shapes(0).into_iter().map(|l| bytes(values(l))).sum()
}

fn written(double_quant: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let quant = QuantConfig { double_quant, ..QuantConfig::default() };
    write_packed(&GeneratedWeights::new(config(), 5), &quant, folder.path()).unwrap();
    folder
}

fn streamed(folder: &Path, budget: u64) -> Result<Llama, ModelError> {
    let options = StreamOptions { budget, embeddings: DenseStorage::Bf16 };
    Llama::load_streamed(open_weights(folder)?.as_ref(), &options, &Device::flex().autodiff())
}

fn in_memory(folder: &Path) -> Llama {
    let options = LoadOptions {
        linears: WeightStorage::Quantized(QuantConfig::default()),
        embeddings: DenseStorage::Bf16.into(),
    };
    let source = open_weights(folder).unwrap();
    Llama::load_with(source.as_ref(), &options, &Device::flex().autodiff()).unwrap()
}

fn adapted(model: Llama) -> Llama {
    let lora = LoraConfig { r: 4, lora_dropout: 0.1, ..LoraConfig::default() };
    attach(model, &lora, 3, &Device::flex().autodiff()).unwrap()
}

fn batch() -> Batch {
    let example = |n: u32| {
        let ids: Vec<u32> = (0..20 + n).map(|i| (n * 7 + i * i) % 64).collect();
        let labels = ids.iter().map(|id| i64::from(*id)).collect();
        Example { id: format!("{n}"), ids, labels }
    };
    Batch::packed(&[&example(0), &example(3)]).unwrap()
}

fn step(activation_checkpointing: bool, block_inputs: BlockInputPaging) -> Step<Sft> {
    Step { objective: Sft, learning_rate: 1e-2, max_grad_norm: 0.3, activation_checkpointing, block_inputs }
}

/// Losses, gradient norms and all adapters after three steps.
fn three_steps(model: Llama, checkpointing: bool, inputs: BlockInputPaging) -> (Vec<[u64; 2]>, Vec<Vec<u8>>) {
    let mut model = adapted(model);
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let mut figures = Vec::new();
    for seed in 0..3 {
        let micro = [MicroBatch { batch: batch(), dropout_seed: Some(seed) }];
        let done = step(checkpointing, inputs.clone()).take(model, &mut optim, &micro, &mut |_| {}).unwrap();
        figures.push([done.loss.to_bits(), done.grad_norm.to_bits()]);
        model = done.model;
    }
    assert!(!named_trainable_params(&model).is_empty());
    let adapters = model
        .layers
        .iter()
        .flat_map(|block| block.linears().map(|(_, linear)| linear.adapter.clone().unwrap()))
        .flat_map(|a| [a.lora_a.val(), a.lora_b.val()])
        .map(|factor| factor.into_data().as_bytes().to_vec());
    (figures, adapters.collect())
}

#[test]
fn streaming_changes_no_bit_of_losses_gradients_or_adapters() {
    for double_quant in [true, false] {
        let folder = written(double_quant);
        let all = BlockInputPaging::default();
        let expected = three_steps(in_memory(folder.path()), false, all.clone());
        let block = block_bytes(double_quant);
        for budget in [2 * block, 3 * block, u64::MAX] {
            let model = streamed(folder.path(), budget).unwrap();
            let found = three_steps(model, true, all.clone());
            assert!(found == expected, "double_quant {double_quant}, budget {budget}");
        }
        let paged = BlockInputPaging { budget: Some(0), spill: Spill::File(folder.path().to_owned()) };
        let found = three_steps(streamed(folder.path(), 2 * block).unwrap(), true, paged);
        assert!(found == expected, "with paged block inputs");
    }
}

#[test]
fn a_walk_reads_what_the_budget_has_no_room_for_and_no_more() {
    let folder = written(true);
    for kept in [2, 4, 6] {
        let model = streamed(folder.path(), kept * block_bytes(true)).unwrap();
        let stream = model.stream().unwrap().clone();
        assert_eq!(stream.traffic().total_bytes, 6 * block_bytes(true));
        three_steps(model, true, BlockInputPaging::default());
        let traffic = stream.traffic();
        assert_eq!(traffic.peak_resident_bytes, kept * block_bytes(true));
        // Up: all six once, then 6 − kept at each of the five turns. Read-ahead may be one off.
        let least = 6 + 5 * (6 - kept);
        assert!((least..=least + 5).contains(&traffic.blocks_read), "{} read, {least}", traffic.blocks_read);
    }
}

#[test]
fn activations_of_all_blocks_cannot_be_kept_while_weights_stream() {
    let folder = written(true);
    let model = adapted(streamed(folder.path(), u64::MAX).unwrap());
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let micro = [MicroBatch { batch: batch(), dropout_seed: Some(0) }];
    let step = step(false, BlockInputPaging::default());
    let error = step.take(model, &mut optim, &micro, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("activation_checkpointing"), "{error}");
}

#[test]
fn a_file_cut_short_under_a_run_is_an_error_that_names_file_and_tensor() {
    let folder = written(true);
    let model = adapted(streamed(folder.path(), 2 * block_bytes(true)).unwrap());
    let path = folder.path().join("model.safetensors");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() * 3 / 4).unwrap();
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let micro = [MicroBatch { batch: batch(), dropout_seed: Some(0) }];
    let step = step(true, BlockInputPaging::default());
    let error = step.take(model, &mut optim, &micro, &mut |_| {}).unwrap_err();
    let TrainError::Model(ModelError::StreamRead { path: named, tensor, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(named, &path);
    assert!(tensor.starts_with("model.layers."), "{tensor}");
}
