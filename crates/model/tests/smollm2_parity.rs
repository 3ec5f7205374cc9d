//! A real model: SmolLM2-135M-Instruct from its Q4_1 GGUF against the logits of an
//! independent implementation (numpy, checked against llama.cpp).

mod smollm2;

use std::path::PathBuf;
use std::process::Command;

use burn::tensor::{Device, Int, Tensor, TensorData};
use camelid_lora::ForwardContext;
use camelid_model::weights::WeightSource;
use camelid_model::{
    ExportType, Llama, LlamaConfig, LoadedTensor, ModelError, StoredType, TokenizerFile, WeightStorage,
    export_gguf, load_tokenizer, open_weights,
};
use camelid_quant::{Format, QuantConfig, QuantizedTensor};
use serde_json::Value;

struct Golden {
    json: Value,
    ids: Vec<u32>,
}

impl Golden {
    fn load() -> Option<(Self, std::path::PathBuf)> {
        let (oracles, model) = (camelid_tests::oracles()?, smollm2::smollm2()?);
        let text = std::fs::read_to_string(oracles.join("smollm2/golden.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let ids = numbers(&json["ids"]).iter().map(|id| *id as u32).collect();
        Some((Self { json, ids }, model))
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// One row of logits per position.
fn logits(model: &Llama, ids: &[u32]) -> Vec<Vec<f32>> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let len = ids.len();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, len]), &Device::flex());
    let all = model.forward(ids, &ForwardContext::default());
    let values = all.into_data().try_to_vec::<f32>().unwrap();
    values.chunks_exact(values.len() / len).map(<[f32]>::to_vec).collect()
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap()
}

/// Mean over the predicted tokens, in nats.
fn mean_nll(logits: &[Vec<f32>], ids: &[u32]) -> f64 {
    let losses = logits.iter().zip(&ids[1..]).map(|(row, next)| {
        let top = row.iter().copied().fold(f32::MIN, f32::max) as f64;
        let sum: f64 = row.iter().map(|x| (f64::from(*x) - top).exp()).sum();
        top + sum.ln() - f64::from(row[*next as usize])
    });
    losses.sum::<f64>() / (ids.len() - 1) as f64
}

#[test]
fn dense_logits_equal_the_golden_ones() {
    let Some((golden, path)) = Golden::load() else { return };
    let source = open_weights(&path).unwrap();
    let expected_config = LlamaConfig {
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: Some(2),
        ..LlamaConfig::smollm2_135m()
    };
    assert_eq!(source.config().unwrap(), expected_config);
    let text = golden.json["text"].as_str().unwrap();
    let tokenizer = load_tokenizer(&path).unwrap();
    assert_eq!(tokenizer.encode(text, true).unwrap().get_ids(), golden.ids);

    let model = Llama::load(source.as_ref(), &WeightStorage::F32, &Device::flex()).unwrap();
    let logits = logits(&model, &golden.ids);
    let mut worst = 0.0f64;
    for (row, expected) in logits.iter().zip(golden.json["logits_first8_of_each_pos"].as_array().unwrap()) {
        for (x, y) in row.iter().zip(numbers(expected)) {
            worst = worst.max((f64::from(*x) - y).abs());
        }
    }
    let last = logits.last().unwrap();
    for pair in golden.json["last_top10"].as_array().unwrap() {
        let pair = numbers(pair);
        worst = worst.max((f64::from(last[pair[0] as usize]) - pair[1]).abs());
    }
    assert!(worst < 1e-2, "a logit is off by {worst}");
    let found: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
    let expected: Vec<usize> = numbers(&golden.json["argmax"]).iter().map(|id| *id as usize).collect();
    assert_eq!(found, expected);
    let nll = mean_nll(&logits, &golden.ids);
    let expected = golden.json["mean_nll_gguf_f32"].as_f64().unwrap();
    assert!((nll - expected).abs() < 1e-3, "mean NLL {nll}, expected {expected}");
    println!("largest logit difference {worst:.2e}, mean NLL {nll:.6} (golden {expected:.6})");
}

/// A source whose linear weights went through a 4-bit format and back.
#[derive(Debug)]
struct RoundTripped<'a>(&'a dyn WeightSource, QuantConfig);

impl WeightSource for RoundTripped<'_> {
    fn config(&self) -> Result<LlamaConfig, ModelError> {
        self.0.config()
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn read(&self, name: &str) -> Result<LoadedTensor, ModelError> {
        match self.0.read(name)? {
            LoadedTensor::Dense { shape, values, .. } if name.contains("_proj.") => {
                let packed = QuantizedTensor::quantize(name, &values, &shape, &self.1)?;
                Ok(LoadedTensor::Dense { shape, values: packed.dequantize(), stored: StoredType::F32 })
            }
            other => Ok(other),
        }
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

/// The packed model computes what a dense one with the same 4-bit values does, and the
/// loss it adds is what NF4 costs a small model, no more.
#[test]
fn packed_logits_equal_those_of_the_dequantised_weights() {
    let Some((golden, path)) = Golden::load() else { return };
    let source = open_weights(&path).unwrap();
    let dense_nll = golden.json["mean_nll_gguf_f32"].as_f64().unwrap();
    for double_quant in [false, true] {
        let config = QuantConfig { format: Format::Nf4, block_size: 64, double_quant };
        let device = Device::flex();
        let packed = Llama::load(source.as_ref(), &WeightStorage::Quantized(config), &device).unwrap();
        let packed = logits(&packed, &golden.ids);
        let through = RoundTripped(source.as_ref(), config);
        let dense = Llama::load(&through, &WeightStorage::F32, &device).unwrap();
        let dense = logits(&dense, &golden.ids);
        let pairs = packed.iter().flatten().zip(dense.iter().flatten());
        let worst = pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-2, "double_quant {double_quant}: a logit is off by {worst}");
        let nll = mean_nll(&packed, &golden.ids);
        assert!((nll - dense_nll).abs() < 0.5, "mean NLL {nll}, dense {dense_nll}");
        println!(
            "double_quant {double_quant}: largest logit difference {worst:.2e}, mean NLL {nll:.4} (dense {dense_nll:.4})"
        );
    }
}

/// The likeliest token, over and over.
fn greedy(model: &Llama, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let next = logits(model, &ids).last().map_or(0, |row| argmax(row)) as u32;
        if model.config().eos_token_ids.contains(&next) {
            break;
        }
        ids.push(next);
    }
    ids.split_off(prompt.len())
}

/// Written as GGUF, llama.cpp reads it, cuts prompts into the same tokens and continues them by the same words.
#[test]
fn llama_cpp_continues_what_is_written_as_we_do() {
    let Some(path) = smollm2::smollm2() else { return };
    let Some(folder) = std::env::var_os("CAMELID_LLAMA_CPP") else {
        println!("skipped: no folder with npm's node-llama-cpp (set CAMELID_LLAMA_CPP)");
        return;
    };
    // Node looks for packages beside the script.
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("greedy.mjs");
    std::fs::copy(camelid_tests::workspace().join("benches/peers/greedy.mjs"), &script).unwrap();
    std::os::unix::fs::symlink(
        PathBuf::from(folder).join("node_modules").canonicalize().unwrap(),
        dir.path().join("node_modules"),
    )
    .unwrap();

    let (source, tokenizer) = (open_weights(&path).unwrap(), TokenizerFile::open(&path).unwrap());
    let prompts = ["Once upon a time", "The capital of France is"];
    for kind in [ExportType::F16, ExportType::Q8_0] {
        let file = dir.path().join(format!("{kind}.gguf"));
        export_gguf(source.as_ref(), &tokenizer, kind, "smollm2", &file).unwrap();
        let output = Command::new("node").arg(&script).arg(&file).arg("12").args(prompts).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind}: {said}");
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();

        let written = open_weights(&file).unwrap();
        let model = Llama::load(written.as_ref(), &WeightStorage::F32, &Device::flex()).unwrap();
        let tokenizer = load_tokenizer(&file).unwrap();
        for (prompt, answer) in prompts.into_iter().zip(&answers) {
            let ids = tokenizer.encode(prompt, false).unwrap().get_ids().to_vec();
            let theirs: Vec<u32> = numbers(&answer["ids"]).iter().map(|id| *id as u32).collect();
            assert_eq!(ids, theirs, "{kind}: the tokens of \"{prompt}\"");
            let ours = tokenizer.decode(&greedy(&model, &ids, 12), true).unwrap();
            assert_eq!(Some(ours.as_str()), answer["text"].as_str(), "{kind}: after \"{prompt}\"");
        }
    }
}
