//! What the optimizer is told once, when it is made.

use std::fmt;
use std::path::PathBuf;

use camelid_kernels::blockwise4::Rounding;
use serde::{Deserialize, Serialize};

use crate::OptimError;

/// Width of the two moments AdamW keeps for each parameter. In files it is the optimizer's name:
/// `adamw32` or `adamw8bit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateBits {
    /// Two `f32` a parameter: 8 bytes.
    #[default]
    #[serde(rename = "adamw32")]
    Bits32,
    /// Two 8-bit codes a parameter and one `f32` absmax per moment and block of 256: 2.03 bytes.
    /// Tensors with fewer than [`AdamWConfig::MIN_8BIT_ELEMENTS`] elements keep 32-bit state, as
    /// in bitsandbytes.
    #[serde(rename = "adamw8bit")]
    Bits8,
}

impl StateBits {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Bits32, Self::Bits8];

    /// The optimizer's name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bits32 => "adamw32",
            Self::Bits8 => "adamw8bit",
        }
    }

    /// Bits of a moment.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits8 => 8,
        }
    }
}

/// The optimizer's name.
impl fmt::Display for StateBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes of state that may stay resident; `None` keeps all of it.
///
/// The page under update is resident on top of a budget too small to hold it, so `Some(0)` works:
/// every page then comes in, is updated and goes out again.
pub type PageBudget = Option<u64>;

/// Where pages go that the budget has no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spill {
    /// Host memory. On a CPU device this is the same memory the resident pages live in: it counts
    /// the traffic a device with its own memory would see, and saves nothing.
    Host,
    /// One unnamed file in this directory (removed by the system when the optimizer goes, even
    /// when the process is killed). Its space is reserved before any value changes.
    File(PathBuf),
}

/// Settings of [`crate::PagedAdamW`].
#[derive(Clone, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment. Default 0.9.
    pub beta1: f64,
    /// Decay of the second moment. Default 0.999.
    pub beta2: f64,
    /// Added to the square root of the bias-corrected second moment. Default 1e-8.
    pub eps: f64,
    /// Decoupled weight decay: each step multiplies the parameter by `1 − lr·weight_decay`.
    /// Applied to every tensor, as in `torch.optim.AdamW`. Default 0.
    pub weight_decay: f64,
    /// Width of the state. Default 32 bits.
    pub state: StateBits,
    /// How 8-bit codes are chosen. Default [`Rounding::Cuda`] (nearest code);
    /// [`Rounding::BnbCpu`] reproduces bitsandbytes' CPU build bit for bit.
    pub rounding: Rounding,
    /// Resident bytes. Default: all resident.
    pub budget: PageBudget,
    /// Where the rest goes. Default: host memory.
    pub spill: Spill,
    /// Parameters whose state makes one page; a multiple of 256 (a block never straddles two
    /// pages). Default 65,536: pages of 512 KiB with 32-bit state, 130 KiB with 8-bit state.
    pub page_elements: usize,
}

impl AdamWConfig {
    /// Smaller tensors keep 32-bit state (bitsandbytes' `min_8bit_size`).
    pub const MIN_8BIT_ELEMENTS: usize = 4096;
    /// Elements that share one absmax in 8-bit state.
    pub const BLOCK: usize = 256;

    pub(crate) fn check(&self) -> Result<(), OptimError> {
        let unit = |name, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(OptimError::Setting { name, value, expected: "0 <= value < 1" }),
        };
        unit("beta1", self.beta1)?;
        unit("beta2", self.beta2)?;
        let positive = |name, value: f64| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(OptimError::Setting { name, value, expected: "a finite value >= 0" }),
        };
        positive("eps", self.eps)?;
        positive("weight_decay", self.weight_decay)?;
        if self.page_elements == 0 || !self.page_elements.is_multiple_of(Self::BLOCK) {
            return Err(OptimError::Setting {
                name: "page_elements",
                value: self.page_elements as f64,
                expected: "a positive multiple of 256",
            });
        }
        Ok(())
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            state: StateBits::Bits32,
            rounding: Rounding::Cuda,
            budget: None,
            spill: Spill::Host,
            page_elements: 65_536,
        }
    }
}
