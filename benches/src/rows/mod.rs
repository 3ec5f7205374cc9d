//! Our side of each row, through the interfaces that users have.

mod adamw;
mod generation;
mod kernels;
mod training;

use std::time::Instant;

use camelid_kernels::ComputeType;

use crate::machine::last_level_cache;
use crate::{BenchError, Row, device, finish};

/// Rows of `x` in the products.
pub const TOKENS: usize = 512;
/// Rows and columns of the matrices.
pub const WIDTH: usize = 4096;
/// Parameters that the optimizers move, in tensors of a million.
pub const PARAMETERS: usize = 100 * 1_000_000;
/// Sequences of a training step.
pub const SEQUENCES: usize = 4;
/// Tokens of each.
pub const SEQUENCE: usize = 256;
/// Rank of a QLoRA step's adapters.
pub const RANK: usize = 16;
/// Tokens of the prompt that decoding continues.
pub const PROMPT: usize = 16;
/// Tokens that decoding adds.
pub const NEW_TOKENS: usize = 128;
/// Tokens of the prompt of the prefill.
pub const PREFILL: usize = 512;
/// Bits per parameter of NF4 in blocks of 64 with an f32 scale each.
pub const PLAIN_BITS: f64 = 4.5;
/// The same with double quantisation (QLoRA, section 3).
pub const DOUBLE_QUANTISED_BITS: f64 = 4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0);

/// A row that is ready to run.
pub struct Prepared {
    run: Box<dyn FnMut() -> Result<f64, BenchError>>,
    /// Units of the row that one run does: matrices for `linear4bit_one_row`, else 1.
    pub per_run: usize,
}

impl Prepared {
    /// `run` returns the seconds that count.
    fn new(run: impl FnMut() -> Result<f64, BenchError> + 'static) -> Self {
        Self { run: Box::new(run), per_run: 1 }
    }

    /// All of `run` counts, until the device has done it.
    fn timed(mut run: impl FnMut() -> Result<(), BenchError> + 'static) -> Self {
        Self::new(move || {
            let device = device()?;
            let start = Instant::now();
            run()?;
            finish(&device)?;
            Ok(start.elapsed().as_secs_f64())
        })
    }

    /// Runs it once, and returns the seconds that count.
    ///
    /// # Errors
    /// Whatever the operation reports.
    pub fn run(&mut self) -> Result<f64, BenchError> {
        (self.run)()
    }
}

/// Matrices that `linear4bit_one_row` takes in turn: four times what the largest cache holds.
pub fn matrices() -> usize {
    let bytes = (WIDTH * WIDTH) as f64 * DOUBLE_QUANTISED_BITS / 8.0;
    (4.0 * last_level_cache() as f64 / bytes).ceil().max(8.0) as usize
}

/// Makes a row's inputs.
///
/// # Errors
/// [`BenchError::Setting`] for a setting that the row does not have; what making the inputs
/// reports.
pub fn prepare(row: Row, setting: &str) -> Result<Prepared, BenchError> {
    if !row.settings().contains(&setting) {
        return Err(BenchError::Setting { row: row.name(), setting: setting.to_owned() });
    }
    let compute = if setting == BF16 { ComputeType::Bf16 } else { ComputeType::F32 };
    match row {
        Row::LinearF32 => kernels::linear_f32(compute),
        Row::Linear4bitForward => kernels::linear4bit_forward(compute),
        Row::Linear4bitDx => kernels::linear4bit_dx(compute),
        Row::Linear4bitOneRow => kernels::linear4bit_one_row(matrices(), compute),
        Row::Nf4Quantize => kernels::nf4_quantize(),
        Row::Nf4DequantizeKernel => kernels::nf4_dequantize_kernel(),
        Row::Nf4DequantizePublic => kernels::nf4_dequantize_public(),
        Row::Adamw8bit => adamw::step(camelid_paged_optim::StateBits::Bits8),
        Row::Adamw32bit => adamw::step(camelid_paged_optim::StateBits::Bits32),
        Row::QloraStep => training::qlora(false, compute),
        Row::QloraStepCheckpointed => training::qlora(true, compute),
        Row::FullStep => training::full(),
        Row::Decode => generation::decode(compute),
        Row::Prefill => generation::prefill(compute),
    }
}

/// What products are computed in.
const F32: &str = "f32";
const BF16: &str = "bf16";

/// See [`Row::settings`].
pub(crate) fn settings(row: Row) -> &'static [&'static str] {
    match row {
        Row::LinearF32 | Row::Linear4bitForward | Row::Linear4bitDx | Row::Linear4bitOneRow => &[F32, BF16],
        Row::QloraStep | Row::QloraStepCheckpointed | Row::Decode | Row::Prefill => &[F32, BF16],
        _ => &[F32],
    }
}
