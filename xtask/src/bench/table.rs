//! The table: what is compared, with which settings of the peers, against which target.

use camelid_benches::Row;

/// A row and how it is judged.
pub struct Comparison {
    /// The row.
    pub row: Row,
    /// What it says in the table.
    pub title: &'static str,
    /// Which of the peers' modules know it: `kernels` or `model`.
    pub modules: &'static str,
    /// Settings in which the peers could be at their best, the likeliest first.
    pub theirs: &'static [&'static str],
    /// What is to be reached.
    pub targets: &'static [Target],
}

/// One verdict.
#[derive(Clone, Copy)]
pub enum Target {
    /// So many times the speed of their best setting.
    Speed(f64),
    /// At most this share of the peak memory of their fastest setting.
    Memory(f64),
    /// At least this share of the bandwidth at which memory is read.
    ReadBandwidth(f64),
    /// The step's products at the best rate of any product in the run, ours or theirs, take at least this
    /// share of its time.
    StepEfficiency(f64),
}

const QLORA: &[&str] = &["f32 highest", "f32 medium", "all-bf16", "bf16"];

/// All rows, in the table's order.
pub const COMPARISONS: [Comparison; Row::ALL.len()] = [
    Comparison {
        row: Row::LinearF32,
        title: "product of f32 operands 512×4096×4096, rounded to bf16 where that is faster",
        modules: "kernels",
        theirs: &["highest", "medium", "highest reused", "medium reused"],
        targets: &[Target::Speed(1.0)],
    },
    Comparison {
        row: Row::Linear4bitForward,
        title: "NF4 linear 4096×4096, 512 tokens: forward",
        modules: "kernels",
        theirs: &[
            "eval f32 double",
            "train f32 double",
            "train f32 plain",
            "eval bf16 double",
            "train bf16 double",
            "train bf16 plain",
        ],
        targets: &[Target::Speed(1.3)],
    },
    Comparison {
        row: Row::Linear4bitDx,
        title: "the same, input gradient",
        modules: "kernels",
        theirs: &["train f32 double", "train f32 plain", "train bf16 plain", "train bf16 double"],
        targets: &[Target::Speed(1.2)],
    },
    Comparison {
        row: Row::Linear4bitOneRow,
        title: "NF4 linear 4096×4096, 1 token, weights from memory",
        modules: "kernels",
        theirs: &[
            "eval bf16 double",
            "eval bf16 plain",
            "eval f32 double",
            "train f32 plain",
            "train bf16 plain",
        ],
        targets: &[Target::Speed(1.0), Target::ReadBandwidth(0.7)],
    },
    Comparison {
        row: Row::Nf4Quantize,
        title: "NF4 quantise 4096×4096 f32, double quantisation",
        modules: "kernels",
        theirs: &["double"],
        targets: &[Target::Speed(40.0)],
    },
    Comparison {
        row: Row::Nf4DequantizeKernel,
        title: "NF4 dequantise 4096×4096 to bf16, output reused, against the C kernel",
        modules: "kernels",
        theirs: &["plain"],
        targets: &[Target::Speed(1.0)],
    },
    Comparison {
        row: Row::Nf4DequantizePublic,
        title: "the same with double quantisation, against the public call",
        modules: "kernels",
        theirs: &["double", "plain"],
        targets: &[Target::Speed(8.0)],
    },
    Comparison {
        row: Row::Adamw8bit,
        title: "8-bit AdamW step over 100 M parameters",
        modules: "kernels",
        theirs: &["bitsandbytes 8-bit", "bitsandbytes paged 8-bit"],
        targets: &[Target::Speed(12.0)],
    },
    Comparison {
        row: Row::Adamw32bit,
        title: "32-bit AdamW step over 100 M parameters",
        modules: "kernels",
        theirs: &["torch fused", "torch foreach", "bitsandbytes 32-bit"],
        targets: &[Target::Speed(1.0)],
    },
    Comparison {
        row: Row::QloraStep,
        title: "QLoRA step, 110 M-parameter LLaMA, 4×256 tokens",
        modules: "model",
        theirs: QLORA,
        targets: &[Target::Speed(1.3), Target::Memory(0.25), Target::StepEfficiency(0.85)],
    },
    Comparison {
        row: Row::QloraStepCheckpointed,
        title: "the same with activation checkpointing",
        modules: "model",
        theirs: QLORA,
        targets: &[Target::Speed(1.4), Target::Memory(0.12), Target::StepEfficiency(0.85)],
    },
    Comparison {
        row: Row::FullStep,
        title: "full fine-tuning step, same model, f32",
        modules: "model",
        theirs: &["f32 highest", "f32 medium"],
        targets: &[Target::Speed(1.1), Target::StepEfficiency(0.85)],
    },
    Comparison {
        row: Row::Decode,
        title: "greedy decoding of the 110 M model, NF4, 128 tokens",
        modules: "model",
        theirs: &[
            "eval f32 loop",
            "eval f32 generate",
            "eval bf16 loop",
            "eval bf16 generate",
            "train f32 loop",
            "train bf16 loop",
        ],
        targets: &[Target::Speed(2.0)],
    },
    Comparison {
        row: Row::Prefill,
        title: "prefill of 512 tokens, NF4",
        modules: "model",
        theirs: &["train f32", "eval f32", "train bf16", "eval bf16"],
        targets: &[Target::Speed(1.3)],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_in_the_table_once_and_in_order() {
        assert_eq!(COMPARISONS.each_ref().map(|comparison| comparison.row), Row::ALL);
        for comparison in &COMPARISONS {
            assert!(!comparison.theirs.is_empty() && !comparison.targets.is_empty());
        }
    }
}
