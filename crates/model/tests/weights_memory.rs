//! Loading into 4 bits never holds the dense model. The peak is the kernel's own figure
//! of a child process that does nothing but load.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use camelid_model::{Llama, LlamaConfig, RopeScaling, WeightStorage, open_weights};
use camelid_quant::QuantConfig;
use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const CHILD: &str = "CAMELID_MEMORY_TEST_MODEL";
const MIB: usize = 1 << 20;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 1024,
        hidden_size: 512,
        intermediate_size: 1536,
        num_hidden_layers: 12,
        num_attention_heads: 8,
        num_key_value_heads: 8,
        head_dim: 64,
        max_position_embeddings: 128,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        pad_token_id: None,
        stored_4bit: false,
    }
}

fn write_model(dir: &Path) {
    let config = config();
    let hidden = config.hidden_size;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_string(), vec![config.vocab_size, hidden]),
        ("model.norm.weight".to_string(), vec![hidden]),
    ];
    for i in 0..config.num_hidden_layers {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shapes.push((format!("model.layers.{i}.{norm}.weight"), vec![hidden]));
        }
    }
    for linear in config.linear_shapes() {
        shapes.push((format!("{}.weight", linear.path), vec![linear.out_features, linear.in_features]));
    }
    // One pattern serves every tensor; only sizes matter here.
    let pattern: Vec<u8> = (0..config.vocab_size.max(config.intermediate_size) * hidden)
        .flat_map(|i| bf16::from_f32(((i * 37 % 101) as f32 - 50.0) * 0.01).to_le_bytes())
        .collect();
    let views = shapes.iter().map(|(name, shape)| {
        let bytes = 2 * shape.iter().product::<usize>();
        (name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), &pattern[..bytes]).unwrap())
    });
    let file = dir.join("model.safetensors");
    safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, &file).unwrap();
    std::fs::write(dir.join("config.json"), config.to_value().to_string()).unwrap();
}

/// A figure of `/proc/self/status`, in bytes.
fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// What the child does: load, and print by how much its memory grew at most.
fn load_and_report(model: &Path) {
    let source = open_weights(model).unwrap();
    let before = status("VmHWM");
    let storage = WeightStorage::Quantized(QuantConfig::default());
    let model = Llama::load(source.as_ref(), &storage, &Device::flex()).unwrap();
    println!("growth={}", status("VmHWM") - before);
    drop(model);
}

#[test]
fn loading_to_nf4_never_holds_the_dense_model() {
    if let Some(model) = std::env::var_os(CHILD) {
        return load_and_report(Path::new(&model));
    }
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "loading_to_nf4_never_holds_the_dense_model", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let growth = text.split("growth=").nth(1).expect("the child reports").split_whitespace().next().unwrap();
    let growth: usize = growth.parse().unwrap();

    let config = config();
    let dense = 4 * config.parameter_count();
    let packed: usize = config
        .linear_shapes()
        .map(|linear| QuantConfig::default().bytes_for(&[linear.out_features, linear.in_features]))
        .sum();
    let tables = 4 * config.embedding_parameters();
    let largest = 4 * config.intermediate_size * config.hidden_size;
    // Threads, allocator and code pages: far less than the model, far more than measured.
    let allowed = packed + tables + largest + 8 * MIB;
    assert!(allowed < dense / 3, "the limit tells packed from dense");
    assert!(
        growth < allowed,
        "loading grew memory by {} MiB, allowed {} (dense model: {})",
        growth / MIB,
        allowed / MIB,
        dense / MIB
    );
    println!("grew by {} MiB; dense model {} MiB, packed {} MiB", growth / MIB, dense / MIB, packed / MIB);
}
