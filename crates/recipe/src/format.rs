//! How a base model is held while it is tuned or measured.

use camelid_quant::{Format, QuantConfig};

use crate::{Experiment, Storage};

/// How a base model is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseFormat {
    /// 32-bit.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
    /// 4-bit, in the experiment's block size.
    Packed(Format, DoubleQuant),
}

/// Whether the constants of a packed base are quantised too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubleQuant {
    /// 8-bit constants.
    Yes,
    /// f32 constants.
    No,
}

impl BaseFormat {
    /// How `experiment` holds its base.
    pub fn of(experiment: &Experiment) -> Self {
        match experiment.model.storage {
            Storage::F32 => Self::F32,
            Storage::Bf16 => Self::Bf16,
            Storage::F16 => Self::F16,
            Storage::Quantized => {
                let quant = experiment.quant.unwrap_or_default();
                let double = if quant.double_quant { DoubleQuant::Yes } else { DoubleQuant::No };
                Self::Packed(quant.format, double)
            }
        }
    }

    /// Makes `experiment` hold its base so; the block size stays.
    pub fn apply(self, experiment: &mut Experiment) {
        let block_size = experiment.quant.unwrap_or_default().block_size;
        experiment.model.storage = match self {
            Self::F32 => Storage::F32,
            Self::Bf16 => Storage::Bf16,
            Self::F16 => Storage::F16,
            Self::Packed(..) => Storage::Quantized,
        };
        experiment.quant = self.packing(block_size);
    }

    /// The packing in blocks of `block_size`, where there is one.
    pub fn packing(self, block_size: usize) -> Option<QuantConfig> {
        match self {
            Self::Packed(format, double) => {
                Some(QuantConfig { format, block_size, double_quant: double == DoubleQuant::Yes })
            }
            _ => None,
        }
    }

    /// Its name in tables, e.g. `nf4-dq`.
    pub fn name(self) -> String {
        match self {
            Self::F32 => "f32".to_owned(),
            Self::Bf16 => "bf16".to_owned(),
            Self::F16 => "f16".to_owned(),
            Self::Packed(format, DoubleQuant::Yes) => format!("{format}-dq"),
            Self::Packed(format, DoubleQuant::No) => format.to_string(),
        }
    }

    /// Bits of a parameter that is not packed.
    pub(crate) fn dense_bits(self) -> f64 {
        if matches!(self, Self::Bf16 | Self::F16) { 16.0 } else { 32.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_is_held_as_it_was_told() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/guanaco/nano.toml");
        let mut experiment = Experiment::read(&path).unwrap();
        assert_eq!(BaseFormat::of(&experiment).name(), "nf4-dq");
        for format in [
            BaseFormat::F32,
            BaseFormat::Bf16,
            BaseFormat::F16,
            BaseFormat::Packed(Format::Fp4, DoubleQuant::No),
        ] {
            format.apply(&mut experiment);
            assert_eq!(BaseFormat::of(&experiment), format);
            experiment.check(&path).unwrap();
        }
    }
}
