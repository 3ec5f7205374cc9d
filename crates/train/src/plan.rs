//! What one training step will need, before anything is loaded.
//!
//! The plan is arithmetic on shapes: the bytes a step of this trainer holds at
//! its peak, part by part, and the tokens and operations a run costs. It is
//! what `--dry-run` prints and what refuses a run that the machine cannot hold.

use camelid_kernels::{LOGIT_CHUNK_VALUES, LOGIT_TILE_VALUES};
use camelid_lora::{LoraConfig, LoraError};
use camelid_model::{DenseStorage, LinearShape, LlamaConfig, WeightStorage};
use camelid_paged_optim::StateBits;

/// Bytes of one step, by part. All counts are of this trainer on one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Linear layers of the blocks as stored: 4-bit codes, or dense. Of weights that stream, as
    /// many bytes as the budget lets in.
    pub weights: u64,
    /// Quantisation constants of those layers; zero when dense. Of weights that stream, those
    /// that stay: the scales of the scales.
    pub constants: u64,
    /// Embedding, norms and head, which stay dense.
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
    /// Block inputs paged out to host memory or a file.
    pub block_inputs_paged: u64,
    /// Activations of the one block being recomputed (of all, without checkpointing), and the
    /// gradients on their way through it.
    pub activations: u64,
    /// Logits that exist at a time, the supervised rows, and their gradient before and after it is
    /// put in its place.
    pub head: u64,
    /// Bytes of weights that stay in their file, resident or not.
    pub weights_in_file: u64,
    /// Bytes of one block of them, the largest.
    pub streamed_block: u64,
    /// What is held at the worst moment of each phase.
    pub phases: Phases,
}

/// Bytes held at the worst moment of each phase of a step, once the optimizer has state. Not all
/// parts are there at once: gradients appear as block inputs go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Phases {
    /// Embedding and blocks.
    pub forward: u64,
    /// Final norm, head and loss.
    pub head: u64,
    /// The way back.
    pub backward: u64,
    /// Clipping and the update.
    pub optimizer: u64,
}

impl Phases {
    /// The worst moment of the whole step.
    pub fn peak(&self) -> u64 {
        self.forward.max(self.head).max(self.backward).max(self.optimizer)
    }
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
    pub optimizer_bits: StateBits,
    /// Most bytes of optimizer state that stay on the device; `None` for all.
    pub optimizer_budget: Option<u64>,
    /// Whether blocks are recomputed on the way back.
    pub activation_checkpointing: bool,
    /// Most bytes of saved block inputs that stay on the device; `None` for all.
    pub block_inputs_budget: Option<u64>,
    /// How embedding and head are held.
    pub embeddings: DenseStorage,
    /// Most bytes of packed weights in memory when they stream from a file; `None` when they do
    /// not.
    pub stream_budget: Option<u64>,
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
            WeightStorage::Dense(dense) => (dense.bytes() as u64 * linear_parameters, 0),
            // Blocks of 32 bytes with a scale of two.
            WeightStorage::Int8 => (linear_parameters * 34 / 32, 0),
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
            Some(config) => adapter_parameters(model, &linears, config)?,
        };
        let optimizer = match step.optimizer_bits {
            StateBits::Bits32 => 8 * trainable,
            StateBits::Bits8 => 2 * trainable + 8 * trainable.div_ceil(256),
        };
        let resident = step.optimizer_budget.map_or(optimizer, |budget| budget.min(optimizer));

        let rows = (step.micro_batch_size * step.max_length) as u64;
        let blocks = model.num_hidden_layers as u64;
        let residual = 4 * rows * model.hidden_size as u64;
        let one = BlockBytes::of(model, rows, lora.map_or(0, |config| config.r as u64));
        let (inputs, activations) = match step.activation_checkpointing {
            true => (residual * (blocks + 1), one.kept + one.passing),
            false => (residual, one.kept * blocks + one.passing),
        };
        let block_inputs = step.block_inputs_budget.map_or(inputs, |budget| budget.max(residual).min(inputs));
        // A head that does not train is read once, a few words at a time for all rows.
        let held = if lora.is_some() { LOGIT_TILE_VALUES } else { LOGIT_CHUNK_VALUES };
        let logits = (held as u64).min(rows * model.vocab_size as u64);
        let gradient_sets = if step.grad_accum > 1 { 2 } else { 1 };
        let (weights, constants, weights_in_file, streamed_block) = match step.stream_budget {
            None => (weights, constants, 0, 0),
            Some(budget) => streamed(model, storage, weights, constants, budget),
        };
        let table = step.embeddings.bytes() as u64;
        let table_parameters = model.embedding_parameters() as u64;

        let mut plan = Self {
            weights,
            constants,
            dense: table * table_parameters + 4 * (dense_parameters - table_parameters),
            adapter: if lora.is_some() { 4 * trainable } else { 0 },
            gradients: gradient_sets * 4 * trainable,
            optimizer_resident: resident,
            optimizer_paged: optimizer - resident,
            block_inputs,
            block_inputs_paged: inputs - block_inputs,
            activations,
            head: 3 * residual + 4 * logits,
            weights_in_file,
            streamed_block,
            phases: Phases::default(),
        };
        plan.phases = plan.phases(&one, residual, step.activation_checkpointing);
        Ok(plan)
    }

    fn phases(&self, one: &BlockBytes, residual: u64, checkpointing: bool) -> Phases {
        let held = self.weights + self.constants + self.dense + self.adapter + self.optimizer_resident;
        // The optimizer's state is there at the end of the first step and from then on.
        if checkpointing {
            Phases {
                forward: held + self.block_inputs + one.kept,
                // The last block runs with the head, and is differentiated at once.
                head: held + self.block_inputs + one.kept + self.head.max(one.passing),
                // The highest block has all inputs and no gradients, the lowest the reverse.
                backward: held + self.activations + self.block_inputs.max(residual + self.gradients),
                optimizer: held + self.gradients,
            }
        } else {
            let kept = self.activations - one.passing;
            Phases {
                forward: held + kept,
                head: held + kept + self.head,
                backward: held + (self.activations + residual).max(one.kept + one.passing + self.gradients),
                optimizer: held + self.gradients,
            }
        }
    }

    /// Bytes at the worst moment of a step: what a measurement should find.
    pub fn peak(&self) -> u64 {
        self.phases.peak()
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

/// What of packed weights is in memory when they stream: (resident codes and scales, constants
/// that stay, bytes in the file, bytes of the largest block).
fn streamed(
    model: &LlamaConfig,
    storage: &WeightStorage,
    weights: u64,
    constants: u64,
    budget: u64,
) -> (u64, u64, u64, u64) {
    let WeightStorage::Quantized(config) = storage else { return (weights, constants, 0, 0) };
    // With double quantisation the scales of the scales are read once and stay.
    let staying = |shape: &[usize; 2]| match config.double_quant {
        true => {
            let len = shape[0] * shape[1];
            (config.constants_bytes_for(shape) - len.div_ceil(config.block_size)) as u64
        }
        false => 0,
    };
    let shapes = |linears: Vec<LinearShape>| linears.into_iter().map(|l| [l.out_features, l.in_features]);
    let stay: u64 = shapes(model.linear_shapes().collect()).map(|shape| staying(&shape)).sum();
    let block: u64 = shapes(model.block_linear_shapes(0).into())
        .map(|shape| config.bytes_for(&shape) as u64 - staying(&shape))
        .sum();
    let in_file = weights + constants - stay;
    // Blocks come and go whole.
    let resident = if budget < in_file { budget / block.max(1) * block } else { in_file };
    (resident, stay, in_file, block)
}

/// Most bytes of packed rows that the matrix product holds.
const PACKED_BYTES: u64 = 8 << 20;

/// Bytes of activations of one block.
struct BlockBytes {
    /// Kept for the way back: the two normalised inputs, the residual sum between them and the
    /// block's output; q, k and v after rotation, the attention's output; gate, up and their
    /// product.
    kept: u64,
    /// What passes through it on the way back at the widest place, the feed-forward part: the
    /// gradients of gate, up and their product, that of the residual, the low-rank product, which
    /// is recomputed, and the rows as the matrix product packs them.
    passing: u64,
}

impl BlockBytes {
    fn of(model: &LlamaConfig, rows: u64, rank: u64) -> Self {
        let hidden = model.hidden_size as u64;
        let inner = model.intermediate_size as u64;
        let queries = model.query_width() as u64;
        let keys = model.key_value_width() as u64;
        Self {
            kept: 4 * rows * (4 * hidden + 2 * queries + 2 * keys + 3 * inner),
            passing: 4 * rows * (3 * inner + hidden + rank) + (4 * rows * inner).min(PACKED_BYTES),
        }
    }
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

/// Parameters that adapters with these settings train: factors, and modules trained whole.
fn adapter_parameters(
    model: &LlamaConfig,
    linears: &[LinearShape],
    config: &LoraConfig,
) -> Result<u64, LoraError> {
    let table = |path: &str| (path.to_string(), model.vocab_size, model.hidden_size);
    let shape = |l: &LinearShape| (l.path.clone(), l.out_features, l.in_features);
    let others = [table("model.embed_tokens"), table("lm_head")];
    let all: Vec<(String, usize, usize)> = linears.iter().map(shape).chain(others).collect();
    let paths: Vec<String> = all.iter().map(|(path, ..)| path.clone()).collect();
    let (inner, outer) = paths.split_at(linears.len());
    let chosen = config.choose(inner, outer)?.paths;
    let mut parameters = 0;
    for (path, outputs, inputs) in &all {
        if config.saves(path) {
            parameters += outputs * inputs;
        } else if chosen.contains(path) {
            parameters += config.parameters_for(path, *outputs, *inputs)?;
        }
    }
    let in_blocks = ["input_layernorm", "post_attention_layernorm"];
    let norms = (0..model.num_hidden_layers)
        .flat_map(|i| in_blocks.map(|name| format!("model.layers.{i}.{name}")))
        .chain(["model.norm".to_string()]);
    parameters += norms.filter(|path| config.saves(path)).count() * model.hidden_size;
    Ok(parameters as u64)
}

#[cfg(test)]
mod tests {
    use camelid_quant::QuantConfig;

    use super::*;

    fn paper(micro_batch_size: usize) -> StepShape {
        StepShape {
            micro_batch_size,
            grad_accum: 16 / micro_batch_size,
            max_length: 513,
            max_steps: 1875,
            optimizer_bits: StateBits::Bits32,
            optimizer_budget: None,
            activation_checkpointing: true,
            block_inputs_budget: None,
            embeddings: DenseStorage::F32,
            stream_budget: None,
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
        // 2052 rows of 32,000 logits are more than a tile: 4 MiB, beside the supervised rows and
        // their gradient, before and after it is put in its place.
        assert_eq!(of_rank(64).head, (4 << 20) + 3 * rows * 4096 * 4);
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
        // 31 blocks more: four tensors of the hidden width and four of the heads', three of the inner.
        let block = 4 * (4 * 513) * (8 * 4096 + 3 * 11_008);
        assert_eq!(without.activations - with.activations, 31 * block);
        assert!(without.block_inputs < with.block_inputs);
        assert!(without.peak() > with.peak());
    }

    #[test]
    fn weights_that_stream_count_what_their_budget_lets_in() {
        let model = LlamaConfig::llama_65b();
        let whole = qlora(&model, &paper(1));
        let streamed = qlora(&model, &StepShape { stream_budget: Some(1 << 30), ..paper(1) });
        assert_eq!(streamed.weights, 2 * streamed.streamed_block, "a third of 398 MiB has no room");
        let in_all = streamed.weights_in_file + streamed.constants;
        assert_eq!(in_all, whole.weights + whole.constants);
        assert!(streamed.constants < 20 << 20, "only the scales of the scales stay");
        assert_eq!(streamed.weights_in_file, 80 * streamed.streamed_block);
        assert_eq!(whole.peak() - streamed.peak(), streamed.weights_in_file - streamed.weights);
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
