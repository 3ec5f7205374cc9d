//! What one training step will need, before anything is loaded.
//!
//! The plan is arithmetic on shapes: the bytes a step of this trainer holds at
//! its peak, part by part, and the tokens and operations a run costs. It is
//! what `--dry-run` prints and what refuses a run that the machine cannot hold.

use camelid_kernels::LOGIT_CHUNK_VALUES;
use camelid_lora::{LoraConfig, LoraError};
use camelid_model::{LinearShape, LlamaConfig, WeightStorage};

/// Bytes of one step, by part. All counts are of this trainer on one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Linear layers of the blocks as stored: 4-bit codes, or dense.
    pub weights: u64,
    /// Quantisation constants of those layers; zero when dense.
    pub constants: u64,
    /// Embedding, norms and head, which stay dense in f32.
    pub dense: u64,
    /// Adapter factors in f32; zero for full fine-tuning.
    pub adapter: u64,
    /// f32 gradients of every trainable parameter: one set, and with several micro-batches a step
    /// a second, for the running total and the newest are held together.
    pub gradients: u64,
    /// Optimizer state resident on the device.
    pub optimizer_resident: u64,
    /// Optimizer state paged out to host memory or a file.
    pub optimizer_paged: u64,
    /// Inputs of all blocks, kept from the walk forward.
    pub block_inputs: u64,
    /// Activations of the one block being recomputed (of all, without checkpointing).
    pub activations: u64,
    /// Logits of one chunk of rows, and the gradient that the head hands back.
    pub head: u64,
}

/// What a run costs.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Tokens processed, at most: every row filled to `max_length`.
    pub tokens: u64,
    /// Floating-point operations for them.
    pub flops: f64,
}

/// The settings that decide a step's size.
#[derive(Debug, Clone)]
pub struct StepShape {
    /// Rows of a micro-batch.
    pub micro_batch_size: usize,
    /// Micro-batches of a step.
    pub grad_accum: usize,
    /// Tokens of a row.
    pub max_length: usize,
    /// Optimizer steps of the run.
    pub max_steps: usize,
    /// Bytes of optimizer state per trainable parameter: 8 for two f32 moments,
    /// 2 for two 8-bit ones (their block constants, 8 bytes in 256, are added).
    pub optimizer_bits: OptimizerBits,
    /// Most bytes of optimizer state that stay on the device; `None` for all.
    pub optimizer_budget: Option<u64>,
    /// Whether blocks are recomputed on the way back.
    pub activation_checkpointing: bool,
}

/// Width of the optimizer's two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptimizerBits {
    /// Two f32 moments.
    Bits32,
    /// Two 8-bit moments with an f32 constant per 256.
    Bits8,
}

impl MemoryPlan {
    /// The plan of one step for `model` stored as `storage`, with adapters as in
    /// `lora` or, without one, every weight trainable.
    ///
    /// # Errors
    /// When `lora`'s targets cannot be understood.
    pub fn of_step(
        model: &LlamaConfig,
        storage: &WeightStorage,
        lora: Option<&LoraConfig>,
        step: &StepShape,
    ) -> Result<Self, LoraError> {
        let linears: Vec<LinearShape> = model.linear_shapes().collect();
        let linear_parameters = model.linear_parameters() as u64;
        let dense_parameters = model.parameter_count() as u64 - linear_parameters;

        let (weights, constants) = match storage {
            WeightStorage::F32 => (4 * linear_parameters, 0),
            WeightStorage::Bf16 | WeightStorage::F16 => (2 * linear_parameters, 0),
            WeightStorage::Quantized(config) => {
                let shapes = linears.iter().map(|l| [l.out_features, l.in_features]);
                let (mut all, mut constants) = (0, 0);
                for shape in shapes {
                    all += config.bytes_for(&shape) as u64;
                    constants += config.constants_bytes_for(&shape) as u64;
                }
                (all - constants, constants)
            }
        };

        let trainable = match lora {
            None => model.parameter_count() as u64,
            Some(config) => {
                let paths: Vec<String> = linears.iter().map(|l| l.path.clone()).collect();
                let chosen = config.target_modules.choose(&paths)?;
                let adapted = linears.iter().filter(|l| chosen.contains(&l.path));
                adapted.map(|l| (config.r * (l.in_features + l.out_features)) as u64).sum()
            }
        };
        let optimizer = match step.optimizer_bits {
            OptimizerBits::Bits32 => 8 * trainable,
            OptimizerBits::Bits8 => 2 * trainable + 8 * trainable.div_ceil(256),
        };
        let resident = step.optimizer_budget.map_or(optimizer, |budget| budget.min(optimizer));

        let rows = (step.micro_batch_size * step.max_length) as u64;
        let residual = 4 * rows * model.hidden_size as u64;
        let block = block_activations(model, rows);
        // The kernel recomputes the low-rank product on the way back: one exists at a time.
        let low_rank = lora.map_or(0, |config| 4 * rows * config.r as u64);
        let blocks = model.num_hidden_layers as u64;
        let (block_inputs, activations) = match step.activation_checkpointing {
            true => (residual * (blocks + 1), block + low_rank),
            false => (residual, block * blocks + low_rank),
        };
        let logits = (LOGIT_CHUNK_VALUES as u64).min(rows * model.vocab_size as u64);
        let gradient_sets = if step.grad_accum > 1 { 2 } else { 1 };

        Ok(Self {
            weights,
            constants,
            dense: 4 * dense_parameters,
            adapter: if lora.is_some() { 4 * trainable } else { 0 },
            gradients: gradient_sets * 4 * trainable,
            optimizer_resident: resident,
            optimizer_paged: optimizer - resident,
            block_inputs,
            activations,
            head: 2 * residual + 4 * logits,
        })
    }

    /// Bytes on the device; what is paged out is not among them.
    pub fn device_total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The device's parts by name, in the order of the report.
    pub fn parts(&self) -> [(&'static str, u64); 9] {
        [
            ("weights", self.weights),
            ("constants", self.constants),
            ("dense", self.dense),
            ("adapter", self.adapter),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer_resident),
            ("block inputs", self.block_inputs),
            ("activations", self.activations),
            ("head", self.head),
        ]
    }
}

/// f32 tensors that one block keeps for its way back: the two normalised inputs,
/// q, k and v before and after rotation, the attention's output, gate, up, their
/// product, the two residual sums, and as many gradients of the widest pair.
fn block_activations(model: &LlamaConfig, rows: u64) -> u64 {
    let hidden = model.hidden_size as u64;
    let inner = model.intermediate_size as u64;
    let queries = model.query_width() as u64;
    let keys = model.key_value_width() as u64;
    let kept = 4 * hidden + 2 * (queries + 2 * keys) + queries + 3 * inner;
    let gradients = 2 * inner + hidden;
    4 * rows * (kept + gradients)
}

impl Cost {
    /// Tokens and operations of a run.
    ///
    /// Two operations per weight and token forward, two for the gradient of the
    /// input, two for the gradient of the weight where it is trained, and two
    /// more for the second walk forward under checkpointing; attention adds
    /// 2·hidden per pair of tokens and pass, halved by causality.
    pub fn of_run(model: &LlamaConfig, lora: bool, step: &StepShape) -> Self {
        let tokens = (step.micro_batch_size * step.grad_accum * step.max_length * step.max_steps) as u64;
        let passes =
            2.0 + if lora { 0.0 } else { 1.0 } + if step.activation_checkpointing { 1.0 } else { 0.0 };
        let head = (model.vocab_size * model.hidden_size) as f64;
        let products = model.linear_parameters() as f64;
        let attention =
            2.0 * model.hidden_size as f64 * step.max_length as f64 * model.num_hidden_layers as f64;
        let per_token = passes * (2.0 * products + attention) + 3.0 * 2.0 * head;
        Self { tokens, flops: per_token * tokens as f64 }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use camelid_quant::QuantConfig;

    use super::*;
    use crate::{Experiment, Optim, Storage};

    fn paper(micro_batch_size: usize) -> StepShape {
        StepShape {
            micro_batch_size,
            grad_accum: 16 / micro_batch_size,
            max_length: 513,
            max_steps: 1875,
            optimizer_bits: OptimizerBits::Bits32,
            optimizer_budget: None,
            activation_checkpointing: true,
        }
    }

    fn qlora(model: &LlamaConfig, step: &StepShape) -> MemoryPlan {
        let storage = WeightStorage::Quantized(QuantConfig::default());
        let lora = LoraConfig { r: 64, lora_alpha: 16.0, ..LoraConfig::default() };
        MemoryPlan::of_step(model, &storage, Some(&lora), step).unwrap()
    }

    #[test]
    fn weights_take_four_bits_and_constants_an_eighth() {
        let model = LlamaConfig::llama_65b();
        let plan = qlora(&model, &paper(1));
        let parameters = model.linear_parameters() as f64;
        assert_eq!(8.0 * plan.weights as f64 / parameters, 4.0);
        assert!((8.0 * plan.constants as f64 / parameters - 0.127).abs() < 1e-3);
    }

    #[test]
    fn a_65b_step_as_its_experiment_says_fits_48_gb() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/guanaco/65b.toml");
        let experiment = Experiment::read(&path).unwrap();
        let train = &experiment.train;
        assert_eq!(
            (train.optim, experiment.model.storage),
            (Optim::AdamW32, Storage::Quantized),
            "what the plan below is of"
        );
        let step = StepShape {
            micro_batch_size: train.micro_batch_size,
            grad_accum: train.grad_accum,
            max_length: experiment.data.max_length,
            max_steps: train.max_steps,
            optimizer_bits: OptimizerBits::Bits32,
            optimizer_budget: train.optim_budget_bytes,
            activation_checkpointing: train.activation_checkpointing,
        };
        let storage = WeightStorage::Quantized(experiment.quant.unwrap_or_default());
        let plan = MemoryPlan::of_step(&LlamaConfig::llama_65b(), &storage, experiment.lora.as_ref(), &step)
            .unwrap();
        assert!(plan.device_total() < 48_000_000_000, "{}", plan.device_total());
        assert_eq!(plan.optimizer_resident, 0);
        assert_eq!(plan.optimizer_paged, 2 * plan.adapter);
    }

    #[test]
    fn accumulation_holds_a_second_set_of_gradients() {
        let model = LlamaConfig::llama_7b();
        let (one, several) = (qlora(&model, &paper(16)), qlora(&model, &paper(4)));
        assert_eq!(one.gradients, one.adapter);
        assert_eq!(several.gradients, 2 * several.adapter);
    }

    #[test]
    fn the_kernels_buffers_are_counted() {
        let (model, step) = (LlamaConfig::llama_7b(), paper(4));
        let of_rank = |r| {
            let storage = WeightStorage::Quantized(QuantConfig::default());
            let lora = LoraConfig { r, ..LoraConfig::default() };
            MemoryPlan::of_step(&model, &storage, Some(&lora), &step).unwrap()
        };
        let rows = 4 * 513;
        assert_eq!(of_rank(64).activations - of_rank(32).activations, rows * 32 * 4);
        // 2052 rows of 32,000 logits are more than a chunk: 32 MiB, and the gradient handed back
        // beside the hidden states.
        assert_eq!(of_rank(64).head, (32 << 20) + 2 * rows * 4096 * 4);
    }

    #[test]
    fn full_fine_tuning_of_65b_needs_what_the_paper_says() {
        // 65.3e9 parameters × (2 weight + 2 gradient + 8 optimizer) bytes in 16 bits is 783 GB; this
        // trainer holds weights and gradients in 32 bits.
        let plan =
            MemoryPlan::of_step(&LlamaConfig::llama_65b(), &WeightStorage::F32, None, &paper(1)).unwrap();
        assert!(plan.device_total() > 780_000_000_000);
    }

    #[test]
    fn checkpointing_trades_activations_for_block_inputs() {
        let model = LlamaConfig::llama_7b();
        let with = qlora(&model, &paper(4));
        let without = qlora(&model, &StepShape { activation_checkpointing: false, ..paper(4) });
        assert!(without.activations > 31 * with.activations && without.block_inputs < with.block_inputs);
    }

    #[test]
    fn a_run_costs_what_its_tokens_and_weights_say() {
        let model = LlamaConfig::llama_7b();
        let cost = Cost::of_run(&model, true, &paper(4));
        assert_eq!(cost.tokens, 1875 * 16 * 513);
        // Forward twice, input gradient once: 6 operations a weight.
        let products = 6.0 * model.linear_parameters() as f64 * cost.tokens as f64;
        assert!(cost.flops > products && cost.flops < 1.2 * products);
    }
}
