//! Weights that stay in their file: the same numbers, a budget that holds, and clear errors.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor};
use camelid_lora::ForwardContext;
use camelid_model::{
    BlockStack, DenseStorage, GeneratedWeights, Llama, LlamaConfig, LoadOptions, ModelError, StreamOptions,
    WeightStorage, open_weights, write_packed,
};
use camelid_quant::QuantConfig;

fn config() -> LlamaConfig {
    let mut value = camelid_tests::tiny_llama(64, 256, 8);
    value["tie_word_embeddings"] = true.into();
    LlamaConfig::from_value(&value, "streaming").unwrap()
}

fn block_bytes() -> u64 {
    let values = |l: camelid_model::LinearShape| l.out_features * l.in_features;
    let bytes = |values: usize| (values / 2 + values / 64) as u64;
    config().block_linear_shapes(0).into_iter().map(|l| bytes(values(l))).sum()
}

fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_packed(&GeneratedWeights::new(config(), 1), &QuantConfig::default(), folder.path()).unwrap();
    folder
}

fn streamed(folder: &Path, budget: u64) -> Result<Llama, ModelError> {
    let options = StreamOptions { budget, embeddings: DenseStorage::F32 };
    Llama::load_streamed(open_weights(folder)?.as_ref(), &options, &Device::flex())
}

fn logits(model: &Llama) -> Vec<f32> {
    let ids = Tensor::<2, Int>::from_ints([[1, 5, 60, 2, 9, 33]], &Device::flex());
    model.forward(ids, &ForwardContext::evaluation()).into_data().iter::<f32>().collect()
}

#[test]
fn a_streamed_model_has_the_bits_of_a_loaded_one() {
    let folder = written();
    let source = open_weights(folder.path()).unwrap();
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let loaded = Llama::load_with(source.as_ref(), &options, &Device::flex()).unwrap();
    let model = streamed(folder.path(), 2 * block_bytes()).unwrap();
    for _ in 0..2 {
        assert!(logits(&model) == logits(&loaded));
    }
    assert_eq!(model.weights_nbytes(), loaded.weights_nbytes());
}

#[test]
fn a_packed_model_streams_from_the_file_it_was_saved_to() {
    let folder = written();
    let source = open_weights(folder.path()).unwrap();
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let loaded = Llama::load_with(source.as_ref(), &options, &Device::flex()).unwrap();
    let saved = tempfile::tempdir().unwrap();
    loaded.save_safetensors(saved.path()).unwrap();
    assert!(logits(&streamed(saved.path(), 2 * block_bytes()).unwrap()) == logits(&loaded));
}

#[cfg(target_os = "linux")]
#[test]
fn blocks_that_were_read_behind_the_streams_back_can_be_let_go() {
    let folder = written();
    let model = streamed(folder.path(), 2 * block_bytes()).unwrap();
    let stream = model.stream().unwrap();
    model.prepare_block(3).unwrap();
    model.save_safetensors(tempfile::tempdir().unwrap().path()).unwrap();
    assert!(stream.mapped_resident_bytes().unwrap() > 6 * block_bytes());
    model.release_strays().unwrap();
    assert!(stream.mapped_resident_bytes().unwrap() < 3 * block_bytes());
}

#[test]
fn generated_weights_load_to_the_bits_of_their_file() {
    let folder = written();
    let options = LoadOptions {
        linears: WeightStorage::Quantized(QuantConfig::default()),
        embeddings: DenseStorage::Bf16.into(),
    };
    let load = |source: &dyn camelid_model::WeightSource| {
        Llama::load_with(source, &options, &Device::flex()).unwrap()
    };
    let file = open_weights(folder.path()).unwrap();
    assert!(logits(&load(&GeneratedWeights::new(config(), 1))) == logits(&load(file.as_ref())));
}

#[cfg(target_os = "linux")]
#[test]
fn no_more_pages_are_in_memory_than_the_budget_says() {
    let folder = written();
    let model = streamed(folder.path(), 2 * block_bytes()).unwrap();
    let stream = model.stream().unwrap();
    let ctx = ForwardContext::evaluation();
    let mut x = Tensor::<3>::ones([1, 4, 256], &Device::flex());
    // A page that is read brings its neighbours in the page cache along, 64 KiB at most.
    let slack = 4 * (64 << 10);
    for i in (0..8).chain((0..8).rev()) {
        model.prepare_block(i).unwrap();
        x = model.block(i, x, &ctx);
        let resident = stream.mapped_resident_bytes().unwrap();
        assert!(resident > 0 && resident <= 2 * block_bytes() + slack, "block {i}: {resident}");
        assert!(stream.traffic().resident_bytes <= 2 * block_bytes());
    }
    assert!(2 * block_bytes() + slack < 3 * block_bytes(), "the limit tells two blocks from three");
}

#[test]
fn a_budget_below_two_blocks_is_refused_with_both_figures() {
    let folder = written();
    let error = streamed(folder.path(), 2 * block_bytes() - 1).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(&(2 * block_bytes()).to_string()), "{message}");
    assert!(message.contains(&(2 * block_bytes() - 1).to_string()), "{message}");
    assert!(message.contains("model.safetensors"), "{message}");
}

#[test]
fn files_that_cannot_stream_are_named_with_the_tensor_at_fault() {
    // Dense weights.
    let dense = tempfile::tempdir().unwrap();
    Llama::random(&config(), 1, &Device::flex()).save_safetensors(dense.path()).unwrap();
    let message = streamed(dense.path(), u64::MAX).unwrap_err().to_string();
    assert!(message.contains("q_proj.weight") && message.contains("camelid quantize"), "{message}");

    // A file cut short.
    let folder = written();
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let message = streamed(folder.path(), u64::MAX).unwrap_err().to_string();
    assert!(message.contains("truncated") && message.contains("model.safetensors"), "{message}");

    // Something else altogether.
    std::fs::write(&path, b"not weights at all").unwrap();
    let message = streamed(folder.path(), u64::MAX).unwrap_err().to_string();
    assert!(message.contains("not a safetensors file"), "{message}");

    // Shapes of another model.
    let mut other = config().to_value();
    other["intermediate_size"] = 640.into();
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(folder.path().join("config.json"), other.to_string()).unwrap();
    let message = streamed(folder.path(), u64::MAX).unwrap_err().to_string();
    assert!(message.contains("gate_proj.weight") && message.contains("512"), "{message}");
}

#[test]
fn a_block_that_cannot_be_read_is_an_error_and_others_still_can() {
    let folder = written();
    let model = streamed(folder.path(), 2 * block_bytes()).unwrap();
    let path = folder.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(whole.len() as u64 / 2).unwrap();
    let error = model.prepare_block(7).unwrap_err();
    assert!(matches!(&error, ModelError::StreamRead { path: named, .. } if *named == path), "{error}");
    model.prepare_block(0).unwrap();
    std::fs::write(&path, &whole).unwrap();
    model.prepare_block(7).unwrap();
}
