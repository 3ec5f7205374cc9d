//! Texts that begin alike: the same logits as without a cache.

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_lora::ForwardContext;
use camelid_model::{Llama, LlamaConfig, ModelError, PromptCache};

const VOCAB: usize = 64;

fn model() -> Llama {
    let config = LlamaConfig {
        vocab_size: VOCAB,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        ..LlamaConfig::smollm2_135m()
    };
    Llama::random_with_std(&config, 0.3, 3, &Device::flex())
}

/// Logits of every position, without a cache.
fn plain(model: &Llama, ids: &[u32]) -> Vec<f32> {
    let row: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(row, [1, ids.len()]), &Device::flex());
    model.forward(ids, &ForwardContext::evaluation()).into_data().iter::<f32>().collect()
}

fn ids(n: usize, step: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * step + i / 3) % VOCAB) as u32).collect()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 1e-4, "{f}, expected {e}");
    }
}

#[test]
fn logits_do_not_depend_on_what_was_seen_before() {
    let model = model();
    let mut cache = PromptCache::new(&model);
    let start = ids(530, 7);
    // Longer, shorter, the same again, different from the start.
    for text in [
        start.clone(),
        [&start[..], &[1, 2, 3]].concat(),
        start[..9].to_vec(),
        start[..9].to_vec(),
        ids(40, 5),
    ] {
        let expected = plain(&model, &text);
        assert_close(&cache.logits_after(&text).unwrap(), &expected[expected.len() - VOCAB..]);
        for from in [0, text.len() / 2, text.len() - 1] {
            assert_close(&cache.logits_from(&text, from).unwrap(), &expected[from * VOCAB..]);
        }
    }
}

#[test]
fn what_cannot_be_asked_is_an_error_and_harms_nothing() {
    let model = model();
    let mut cache = PromptCache::new(&model);
    let text = ids(20, 3);
    let before = cache.logits_after(&text).unwrap();
    assert!(matches!(cache.logits_after(&[]), Err(ModelError::EmptyPrompt)));
    assert!(cache.logits_from(&text, 20).is_err());
    let outside = [&text[..], &[VOCAB as u32]].concat();
    assert!(matches!(cache.logits_after(&outside), Err(ModelError::TokenOutOfRange { position: 20, .. })));
    assert_close(&cache.logits_after(&text).unwrap(), &before);
}
