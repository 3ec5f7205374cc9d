//! The rows of the comparison: what one run of each does.

use std::fmt;
use std::str::FromStr;

use crate::{BenchError, llama_110m, rows};

/// A measured piece of work, the same for us and for the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// `x·Wᵀ` in f32.
    LinearF32,
    /// `x·Wᵀ` with `W` in NF4.
    Linear4bitForward,
    /// Gradient of that product with respect to `x`.
    Linear4bitDx,
    /// The product of one row with matrices that wait in no cache.
    Linear4bitOneRow,
    /// Quantising to NF4 with double quantisation.
    Nf4Quantize,
    /// Dequantising into an output that is reused, scales plain.
    Nf4DequantizeKernel,
    /// Dequantising what was doubly quantised, as a user calls it.
    Nf4DequantizePublic,
    /// AdamW with 8-bit state.
    Adamw8bit,
    /// AdamW with 32-bit state.
    Adamw32bit,
    /// A QLoRA step.
    QloraStep,
    /// A QLoRA step with activation checkpointing.
    QloraStepCheckpointed,
    /// A step of full fine-tuning in f32.
    FullStep,
    /// Greedy decoding.
    Decode,
    /// The forward pass over a prompt.
    Prefill,
}

/// What work is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Multiplications and additions.
    Operations,
    /// Bytes that must be read and written at least.
    Bytes,
    /// Tokens.
    Tokens,
}

/// How much one run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// How many.
    pub amount: f64,
    /// Of what.
    pub unit: Unit,
}

impl Row {
    /// All of them, in the table's order.
    pub const ALL: [Row; 14] = [
        Row::LinearF32,
        Row::Linear4bitForward,
        Row::Linear4bitDx,
        Row::Linear4bitOneRow,
        Row::Nf4Quantize,
        Row::Nf4DequantizeKernel,
        Row::Nf4DequantizePublic,
        Row::Adamw8bit,
        Row::Adamw32bit,
        Row::QloraStep,
        Row::QloraStepCheckpointed,
        Row::FullStep,
        Row::Decode,
        Row::Prefill,
    ];

    /// Its name, which the peers' scripts know it by too.
    pub fn name(self) -> &'static str {
        match self {
            Row::LinearF32 => "linear_f32",
            Row::Linear4bitForward => "linear4bit_forward",
            Row::Linear4bitDx => "linear4bit_dx",
            Row::Linear4bitOneRow => "linear4bit_one_row",
            Row::Nf4Quantize => "nf4_quantize",
            Row::Nf4DequantizeKernel => "nf4_dequantize_kernel",
            Row::Nf4DequantizePublic => "nf4_dequantize_public",
            Row::Adamw8bit => "adamw_8bit",
            Row::Adamw32bit => "adamw_32bit",
            Row::QloraStep => "qlora_step",
            Row::QloraStepCheckpointed => "qlora_step_checkpointed",
            Row::FullStep => "full_step",
            Row::Decode => "decode",
            Row::Prefill => "prefill",
        }
    }

    /// What one run does.
    pub fn work(self) -> Work {
        let operations = |amount| Work { amount, unit: Unit::Operations };
        let bytes = |amount| Work { amount, unit: Unit::Bytes };
        let tokens = |amount: usize| Work { amount: amount as f64, unit: Unit::Tokens };
        let matrix = (rows::WIDTH * rows::WIDTH) as f64;
        match self {
            Row::LinearF32 | Row::Linear4bitForward | Row::Linear4bitDx => {
                operations(2.0 * rows::TOKENS as f64 * matrix)
            }
            Row::Linear4bitOneRow => bytes(matrix * rows::DOUBLE_QUANTISED_BITS / 8.0),
            Row::Nf4Quantize => bytes(matrix * (4.0 + rows::DOUBLE_QUANTISED_BITS / 8.0)),
            Row::Nf4DequantizeKernel => bytes(matrix * (2.0 + rows::PLAIN_BITS / 8.0)),
            Row::Nf4DequantizePublic => bytes(matrix * (2.0 + rows::DOUBLE_QUANTISED_BITS / 8.0)),
            // Parameter and moments read and written, gradient read.
            Row::Adamw8bit => bytes(rows::PARAMETERS as f64 * (8.0 + 4.0 + 4.0 + 4.0 * 4.0 / 256.0)),
            Row::Adamw32bit => bytes(rows::PARAMETERS as f64 * 28.0),
            Row::QloraStep | Row::QloraStepCheckpointed | Row::FullStep => {
                tokens(rows::SEQUENCES * rows::SEQUENCE)
            }
            Row::Decode => tokens(rows::NEW_TOKENS),
            Row::Prefill => tokens(rows::PREFILL),
        }
    }

    /// Operations of the products in one run of a training step: linear layers, head, adapters and attention,
    /// forwards and backwards, and forwards once more under checkpointing. `None` for other rows.
    pub fn product_operations(self) -> Option<f64> {
        let full = self == Row::FullStep;
        let forwards = if self == Row::QloraStepCheckpointed { 2.0 } else { 1.0 };
        self.counts_memory().then(|| {
            let model = llama_110m::llama_110m();
            let (hidden, inner) = (model.hidden_size as f64, model.intermediate_size as f64);
            let blocks = model.num_hidden_layers as f64;
            let linears = blocks * (4.0 * hidden * hidden + 3.0 * hidden * inner);
            let of_rank_one = blocks * (4.0 * 2.0 * hidden + 3.0 * (hidden + inner));
            let adapters = if full { 0.0 } else { rows::RANK as f64 * of_rank_one };
            // Half of the positions are seen, in two products.
            let attention = blocks * rows::SEQUENCE as f64 * hidden;
            let head = model.vocab_size as f64 * hidden;
            // Backwards a product has one for its input, and one for its weight where that is trained;
            // both factors of attention's products are inputs.
            let of_weight = if full { 2.0 } else { 1.0 };
            let forward = linears + adapters + attention;
            let backward = of_weight * (linears + head) + 2.0 * (adapters + attention);
            2.0 * (forwards * forward + head + backward) * (rows::SEQUENCES * rows::SEQUENCE) as f64
        })
    }

    /// Ways in which we can do it; the fastest counts, as it does for the peers.
    pub fn settings(self) -> &'static [&'static str] {
        rows::settings(self)
    }

    /// Whether the row's peak memory counts, so that each measurement needs a process of its own.
    pub fn counts_memory(self) -> bool {
        matches!(self, Row::QloraStep | Row::QloraStepCheckpointed | Row::FullStep)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Row {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Row, BenchError> {
        let known = || Row::ALL.map(Row::name).join(", ");
        Row::ALL
            .into_iter()
            .find(|row| row.name() == name)
            .ok_or_else(|| BenchError::Row { name: name.to_owned(), known: known() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for row in Row::ALL {
            assert_eq!(row.name().parse::<Row>().unwrap(), row);
            assert!(!row.settings().is_empty());
        }
        let error = "nf5".parse::<Row>().unwrap_err().to_string();
        assert!(error.contains("nf5") && error.contains("qlora_step"), "{error}");
    }
}
