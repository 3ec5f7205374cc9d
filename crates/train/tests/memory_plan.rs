//! The plan's bytes against the system's count, at the nano scale: a child process takes steps
//! and prints how far its memory rose.

#![cfg(target_os = "linux")]

use std::process::Command;

use burn::tensor::Device;
use camelid_data::Batch;
use camelid_data::tokens::Example;
use camelid_lora::{LoraConfig, attach};
use camelid_model::{DenseStorage, GeneratedWeights, Llama, LlamaConfig, LoadOptions, WeightStorage};
use camelid_paged_optim::{AdamWConfig, PagedAdamW};
use camelid_quant::QuantConfig;
use camelid_train::{BlockInputPaging, MemoryPlan, MicroBatch, PeakMemory, Sft, StateBits, Step, StepShape};

const CHILD: &str = "CAMELID_MEMORY_PLAN_CHILD";
const ROWS: usize = 16;
const SEQ: usize = 128;

fn config(layers: usize) -> LlamaConfig {
    let value = serde_json::json!({
        "model_type": "llama", "vocab_size": 482, "hidden_size": 192, "intermediate_size": 512,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "tie_word_embeddings": true
    });
    LlamaConfig::from_value(&value, "nano").unwrap()
}

fn lora() -> LoraConfig {
    LoraConfig { r: 16, lora_alpha: 16.0, lora_dropout: 0.1, ..LoraConfig::default() }
}

fn planned(checkpointing: bool) -> MemoryPlan {
    let step = StepShape {
        micro_batch_size: ROWS,
        grad_accum: 1,
        max_length: SEQ,
        max_steps: 1,
        optimizer_bits: StateBits::Bits32,
        optimizer_budget: None,
        activation_checkpointing: checkpointing,
        block_inputs_budget: None,
        embeddings: DenseStorage::F32,
        stream_budget: None,
    };
    let storage = WeightStorage::Quantized(QuantConfig::default());
    MemoryPlan::of_step(&config(4), &storage, Some(&lora()), &step).unwrap()
}

fn steps(layers: usize, rows: usize, checkpointing: bool) {
    let device = Device::flex().autodiff();
    let options = LoadOptions::new(WeightStorage::Quantized(QuantConfig::default()));
    let model = Llama::load_with(&GeneratedWeights::new(config(layers), 1), &options, &device).unwrap();
    let mut model = attach(model, &lora(), 1, &device).unwrap();
    let ids: Vec<u32> = (0..SEQ as u32).map(|i| (i * i + 7) % 482).collect();
    let labels = ids.iter().map(|id| i64::from(*id)).collect();
    let example = Example { id: "tokens".into(), ids, labels };
    let batch = Batch::packed(&vec![&example; rows]).unwrap();
    let mut optim = PagedAdamW::new(AdamWConfig::default()).unwrap();
    let step = Step {
        objective: Sft,
        learning_rate: 1e-3,
        max_grad_norm: 0.3,
        activation_checkpointing: checkpointing,
        block_inputs: BlockInputPaging::default(),
    };
    for seed in 0..3 {
        let micro = [MicroBatch { batch: batch.clone(), dropout_seed: Some(seed) }];
        model = step.take(model, &mut optim, &micro, &mut |_| {}).unwrap().model;
    }
}

#[test]
fn the_plan_of_a_nano_step_is_what_the_system_counts_within_a_tenth() {
    const NAME: &str = "the_plan_of_a_nano_step_is_what_the_system_counts_within_a_tenth";
    if let Ok(checkpointing) = std::env::var(CHILD) {
        // Code and threads are there before the count begins, but no buffers.
        steps(1, 1, checkpointing == "true");
        camelid_kernels::release_idle_buffers();
        let memory = PeakMemory::begin().unwrap();
        steps(4, ROWS, checkpointing == "true");
        println!("peak={}", memory.peak().unwrap());
        return;
    }
    for checkpointing in [true, false] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, checkpointing.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let peak = text.split("peak=").nth(1).expect("the child reports").split_whitespace().next().unwrap();
        let (peak, plan) = (peak.parse::<f64>().unwrap(), planned(checkpointing));
        let ratio = peak / plan.peak() as f64;
        println!("checkpointing {checkpointing}: {peak} measured, {} planned, {ratio:.3}", plan.peak());
        assert!((0.9..=1.1).contains(&ratio), "checkpointing {checkpointing}: {ratio:.3}\n{plan:#?}");
    }
}
