//! What experiments as they are stored need of a machine.

use std::path::Path;

use camelid_model::{DenseStorage, LlamaConfig};
use camelid_recipe::{Experiment, Storage};
use camelid_train::{MemoryPlan, StateBits, StepShape};

#[test]
fn a_65b_step_as_its_experiment_says_fits_48_gb() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/guanaco/65b.toml");
    let experiment = Experiment::read(&path).unwrap();
    let train = experiment.train_settings(10_000);
    assert_eq!(
        (train.optim, experiment.model.storage),
        (StateBits::Bits32, Storage::Quantized),
        "what the plan below is of"
    );
    let step = StepShape {
        micro_batch_size: train.micro_batch_size,
        grad_accum: train.grad_accum,
        max_length: experiment.data.max_length,
        max_steps: train.max_steps,
        optimizer_bits: train.optim,
        optimizer_budget: train.optim_budget_bytes,
        activation_checkpointing: train.activation_checkpointing,
        block_inputs_budget: None,
        embeddings: DenseStorage::F32,
        stream_budget: None,
    };
    let storage = experiment.weight_storage();
    let plan =
        MemoryPlan::of_step(&LlamaConfig::llama_65b(), &storage, experiment.lora.as_ref(), &step).unwrap();
    assert!(plan.device_total() < 48_000_000_000, "{}", plan.device_total());
    assert_eq!(plan.optimizer_resident, 0);
    assert_eq!(plan.optimizer_paged, 2 * plan.adapter);
}
