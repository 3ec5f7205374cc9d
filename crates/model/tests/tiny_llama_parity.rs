//! The tiny LLaMA against transformers and bitsandbytes: hidden states, logits, loss.

mod tiny_llama;

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_lora::ForwardContext;
use camelid_model::generate::generate_ids;
use camelid_model::{BlockStack, GenerateOptions, KvCache, Llama, LlamaConfig, supervised_tokens};
use tiny_llama::{Golden, TOLERANCE, assert_close, folder, max_difference, model, values};

const BASES: [(&str, &str); 4] =
    [("base_f32", "base_f32"), ("base_nf4", "nf4"), ("base_nf4_dq", "nf4_dq"), ("base_fp4_dq", "fp4_dq")];

const EVALUATION: ForwardContext = ForwardContext::evaluation();

#[test]
fn logits_equal_those_of_transformers_for_dense_and_4_bit_weights() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("inputs_and_logits.safetensors"));
    let ids = golden.matrix("input_ids", &device);
    for (base, prefix) in BASES {
        let model = model(&folder, base, &device);
        let logits = values(model.forward(ids.clone(), &EVALUATION));
        assert_close(base, &logits, &golden.floats(&format!("{prefix}.logits")), TOLERANCE);
    }
}

#[test]
fn hidden_states_equal_layer_by_layer() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("inputs_and_logits.safetensors"));
    let ids = golden.matrix("input_ids", &device);
    for (base, prefix) in BASES {
        let model = model(&folder, base, &device);
        let compare = |i: usize, x: &Tensor<3>| {
            let expected = golden.floats(&format!("{prefix}.hidden.{i}"));
            assert_close(&format!("{base} hidden {i}"), &values(x.clone()), &expected, TOLERANCE);
        };
        let x = model.embed(ids.clone(), &EVALUATION);
        compare(0, &x);
        let x = model.block(0, x, &EVALUATION);
        compare(1, &x);
        let x = model.block(1, x, &EVALUATION);
        compare(2, &model.norm.forward(x, &EVALUATION));
    }
}

#[test]
fn loss_of_a_padded_batch_equals_that_of_transformers() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("inputs_and_logits.safetensors"));
    let ids = golden.matrix("input_ids_padded", &device);
    let [_, seq] = ids.dims();
    let count = supervised_tokens(&golden.integers("labels"), seq) as f32;
    for (base, prefix) in BASES {
        let model = model(&folder, base, &device);
        let mut x = model.embed(ids.clone(), &EVALUATION);
        for i in 0..model.num_blocks() {
            x = model.block(i, x, &EVALUATION);
        }
        let loss = model.head_loss(x, golden.matrix("labels", &device), &EVALUATION);
        let mean = values(loss)[0] / count;
        let expected = golden.floats(&format!("{prefix}.padded.loss"));
        assert_close(&format!("{base} padded loss"), &[mean], &expected, TOLERANCE);
    }
}

/// Right padding changes nothing to the left of it.
#[test]
fn logits_of_a_padded_batch_equal_where_there_is_text() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("inputs_and_logits.safetensors"));
    let mask = golden.integers("attention_mask");
    let model = model(&folder, "base_f32", &device);
    let logits = values(model.forward(golden.matrix("input_ids_padded", &device), &EVALUATION));
    let expected = golden.floats("base_f32.padded.logits");
    let vocab = model.config().vocab_size;
    let real = |all: &[f32]| -> Vec<f32> {
        let rows = all.chunks(vocab).zip(&mask).filter(|(_, on)| **on == 1);
        rows.flat_map(|(row, _)| row.to_vec()).collect()
    };
    assert!(mask.contains(&0) && mask[0] == 1, "the batch is right-padded");
    assert_close("padded logits", &real(&logits), &real(&expected), TOLERANCE);
}

#[test]
fn greedy_generation_equals_that_of_transformers() {
    let Some(folder) = folder() else { return };
    let device = Device::flex();
    let golden = Golden::open(folder.join("inputs_and_logits.safetensors"));
    let expected: Vec<u32> = golden.integers("base_f32.greedy").iter().map(|i| *i as u32).collect();
    let prompt: Vec<u32> = golden.integers("input_ids").iter().map(|i| *i as u32).collect();
    // The golden text begins with its prompt: the first row up to some length.
    let len = expected.iter().zip(&prompt).take_while(|(a, b)| a == b).count();
    assert!(len >= 4 && len < expected.len(), "{len}");
    let model = model(&folder, "base_f32", &device);
    for start in [len.min(8), len] {
        let options =
            GenerateOptions { max_new_tokens: expected.len() - start, ..GenerateOptions::default() };
        let prompt = &expected[..start];
        let generated =
            generate_ids(&model, prompt, &options, |_| Ok(std::ops::ControlFlow::Continue(()))).unwrap();
        assert_eq!(generated.ids, expected[start..], "from {start} tokens on");
    }
}

/// Needs no oracle: the cache against the whole sequence at once.
#[test]
fn cached_logits_equal_uncached_ones() {
    let config = LlamaConfig {
        vocab_size: 97,
        hidden_size: 48,
        intermediate_size: 80,
        num_hidden_layers: 3,
        num_attention_heads: 6,
        num_key_value_heads: 2,
        head_dim: 10,
        attention_bias: true,
        ..LlamaConfig::smollm2_135m()
    };
    let device = Device::flex();
    let model = Llama::random(&config, 11, &device);
    let ids: Vec<i64> = (0..2 * 20).map(|i| (i * i * 31 + 7 * i) % 97).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 20]), &device);
    let whole = model.forward(ids.clone(), &EVALUATION);
    let mut cache = KvCache::new(config.num_hidden_layers, 4);
    let mut start = 0;
    // A prompt, single tokens, and several at once; beyond the first capacity.
    for n in [7, 1, 1, 5, 1, 5] {
        let logits = model.forward_cached(ids.clone().narrow(1, start, n), &mut cache);
        start += n;
        let expected = whole.clone().narrow(1, start - 1, 1).reshape([2, config.vocab_size]);
        let d = max_difference(&values(logits), &values(expected));
        assert!(d < 1e-5, "after {start} tokens: {d}");
    }
    assert_eq!(cache.len(), 20);
}
