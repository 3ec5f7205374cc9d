//! Three optimizer steps on the tiny LLaMA against PEFT, transformers, torch and bitsandbytes.

use std::path::Path;

use burn::tensor::Device;
use camelid_data::{Example, TokenizedSet};
use camelid_lora::load_peft;
use camelid_model::{Llama, WeightStorage, open_weights};
use camelid_train::{LrSchedule, Silent, StateBits, TrainSettings, Trainer};
use safetensors::SafeTensors;

/// The padded batch of the golden files, without its padding.
fn batch(dir: &Path) -> TokenizedSet {
    let bytes = std::fs::read(dir.join("inputs_and_logits.safetensors")).unwrap();
    let st = SafeTensors::deserialize(&bytes).unwrap();
    let i64s = |name: &str| -> Vec<i64> { bytemuck::pod_collect_to_vec(st.tensor(name).unwrap().data()) };
    let (ids, labels) = (i64s("input_ids_padded"), i64s("labels"));
    let row = |row: usize, len: usize| Example {
        id: format!("row-{row}"),
        ids: ids[row * 24..row * 24 + len].iter().map(|id| *id as u32).collect(),
        labels: labels[row * 24..row * 24 + len].to_vec(),
    };
    TokenizedSet { examples: vec![row(0, 24), row(1, 18)], report: Default::default() }
}

/// Trains three steps and compares losses, gradient norms and parameters.
fn run_case(oracles: &Path, file: &str, settings: TrainSettings, lr: f64) {
    let dir = oracles.join("tiny_llama");
    let device = Device::flex().autodiff();
    let source = open_weights(&dir.join("base_nf4_dq")).unwrap();
    let base = Llama::load(source.as_ref(), &WeightStorage::F32, &device).unwrap();
    let (model, _) = load_peft(base, &dir.join("adapter_r8_a16"), &device).unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    let settings = TrainSettings {
        learning_rate: lr,
        lr_schedule: LrSchedule::Constant,
        warmup_ratio: 0.0,
        max_steps: 3,
        micro_batch_size: 2,
        grad_accum: 1,
        ..settings
    };
    let trainer = Trainer::new(model, settings, batch(&dir), None, run_dir.path(), Box::new(Silent));
    let outcome = trainer.unwrap().run().unwrap();

    let golden = std::fs::read(dir.join(file)).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let f32s = |st: &SafeTensors, name: &str| -> Vec<f32> {
        bytemuck::pod_collect_to_vec(st.tensor(name).unwrap().data())
    };
    for (ours, theirs) in outcome.summary.losses.iter().zip(f32s(&golden, "losses")) {
        assert!((ours - f64::from(theirs)).abs() < 2e-5, "{file}: loss {ours}, expected {theirs}");
    }
    if golden.names().contains(&"grad_norms_before_clip") {
        let text = std::fs::read_to_string(run_dir.path().join("metrics.jsonl")).unwrap();
        for (line, norm) in text.lines().zip(f32s(&golden, "grad_norms_before_clip")) {
            let record: camelid_train::StepRecord = serde_json::from_str(line).unwrap();
            assert!((record.grad_norm / f64::from(norm) - 1.0).abs() < 1e-4, "{file}: {norm}");
        }
    }
    let saved = std::fs::read(outcome.checkpoint.join("trainable.safetensors")).unwrap();
    let saved = SafeTensors::deserialize(&saved).unwrap();
    assert_eq!(saved.len(), 28);
    let mut worst = 0.0_f32;
    for name in golden.names().into_iter().filter(|name| name.starts_with("step3.")) {
        let path = name
            .trim_start_matches("step3.base_model.model.model.")
            .replace(".default.weight", "")
            .replace(".lora_A", ".adapter.lora_a")
            .replace(".lora_B", ".adapter.lora_b");
        let (ours, theirs) = (f32s(&saved, &path), f32s(&golden, name));
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            worst = worst.max((a - b).abs());
        }
    }
    // Adam divides by the gradient's own size: where it is near zero, its rounding counts in full.
    println!("{file}: largest parameter difference after 3 steps {worst:e}");
    assert!(worst < 0.02 * lr as f32 * 3.0, "{file}: parameters differ by {worst:e}");
}

#[test]
fn three_lora_steps_equal_peft_with_torch_and_bitsandbytes_optimizers() {
    let Some(dir) = camelid_tests::oracles() else { return };
    let plain = TrainSettings { max_grad_norm: 0.0, ..TrainSettings::default() };
    run_case(&dir, "lora_after_AdamW.safetensors", plain.clone(), 1e-3);
    let paged8 = TrainSettings { optim: StateBits::Bits8, optim_budget_bytes: Some(0), ..plain };
    run_case(&dir, "lora_after_PagedAdamW8bit.safetensors", paged8, 1e-3);
    let clipped =
        TrainSettings { adam_beta2: 0.95, weight_decay: 0.1, max_grad_norm: 0.3, ..TrainSettings::default() };
    run_case(&dir, "lora_after_AdamW_wd_clip.safetensors", clipped, 2e-3);
}
