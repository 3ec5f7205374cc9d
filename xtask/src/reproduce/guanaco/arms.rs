//! The arms of the QLoRA comparison: how the base is stored, where adapters go,
//! and whether the optimizer's state is paged.

use camelid_lora::Targets;
use camelid_model::DenseStorage;
use camelid_quant::{Format, QuantConfig};
use camelid_recipe::{Experiment, Storage};
use camelid_train::OptimSpill;

/// One way to tune the same base on the same batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arm {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub label: &'static str,
    /// How the base is held while it is tuned.
    pub base: Base,
    /// What is trained.
    pub trains: Trains,
    /// Bytes of optimizer state that may stay resident; `None` for all.
    pub optimizer_budget: Option<u64>,
}

/// How a base model is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// 32-bit.
    F32,
    /// 16-bit.
    Bf16,
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

/// What an arm trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trains {
    /// Every weight.
    Everything,
    /// Adapters on every linear layer but the head.
    AllLinears,
    /// Adapters on the projections of attention: query, key, value, output.
    Attention,
}

/// QLoRA as the paper proposes it; every comparison is against this arm.
pub const QLORA: Arm = Arm {
    name: "qlora-nf4-dq",
    label: "adapters on an NF4 base, double-quantised",
    base: Base::Packed(Format::Nf4, DoubleQuant::Yes),
    trains: Trains::AllLinears,
    optimizer_budget: None,
};

/// LoRA on the unquantised base.
pub const LORA: Arm =
    Arm { name: "lora-f32", label: "adapters on the 32-bit base", base: Base::F32, ..QLORA };

/// LoRA on a 16-bit base.
pub const LORA_BF16: Arm =
    Arm { name: "lora-bf16", label: "adapters on the 16-bit base", base: Base::Bf16, ..QLORA };

/// Every weight trained.
pub const FULL: Arm = Arm {
    name: "full-f32",
    label: "every weight trained, 32-bit",
    base: Base::F32,
    trains: Trains::Everything,
    optimizer_budget: None,
};

/// QLoRA without double quantisation.
pub const NF4: Arm = Arm {
    name: "qlora-nf4",
    label: "adapters on an NF4 base",
    base: Base::Packed(Format::Nf4, DoubleQuant::No),
    ..QLORA
};

/// QLoRA on 4-bit floats.
pub const FP4: Arm = Arm {
    name: "qlora-fp4-dq",
    label: "adapters on an FP4 base, double-quantised",
    base: Base::Packed(Format::Fp4, DoubleQuant::Yes),
    ..QLORA
};

/// QLoRA on 4-bit integers.
pub const INT4: Arm = Arm {
    name: "qlora-int4-dq",
    label: "adapters on an INT4 base, double-quantised",
    base: Base::Packed(Format::Int4, DoubleQuant::Yes),
    ..QLORA
};

/// QLoRA with adapters on attention alone.
pub const ATTENTION: Arm = Arm {
    name: "qlora-attention",
    label: "adapters on attention's projections only, NF4 base, double-quantised",
    trains: Trains::Attention,
    ..QLORA
};

/// QLoRA with its optimizer's state paged to a file.
pub const PAGED: Arm = Arm {
    name: "qlora-paged",
    label: "as qlora-nf4-dq, optimizer state paged: 64 KiB resident, the rest in a file",
    optimizer_budget: Some(64 << 10),
    ..QLORA
};

/// Every arm, in the order of the report.
pub const ALL: [Arm; 9] = [QLORA, LORA, FULL, ATTENTION, PAGED, FP4, NF4, INT4, LORA_BF16];

impl Arm {
    /// The arm of that name.
    pub fn named(name: &str) -> Option<Arm> {
        ALL.into_iter().find(|arm| arm.name == name)
    }
}

impl camelid_recipe::Arm for Arm {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment {
        let mut experiment = common.clone();
        experiment.name = format!("{}-{}-seed{seed}", common.name, self.name);
        experiment.seed = common.seed + seed;
        experiment.model.storage = self.base.storage();
        experiment.quant = self.base.quant(common.quant.unwrap_or_default().block_size);
        match self.trains {
            Trains::AllLinears => {}
            Trains::Attention => {
                if let Some(lora) = &mut experiment.lora {
                    lora.target_modules =
                        Targets::Names(["q_proj", "k_proj", "v_proj", "o_proj"].map(String::from).to_vec());
                }
            }
            Trains::Everything => {
                experiment.lora = None;
                // Adapters start from zero and want large steps; whole weights do not.
                experiment.train.learning_rate /= 4.0;
            }
        }
        if let Some(budget) = self.optimizer_budget {
            experiment.train.optim_budget_bytes = Some(budget);
            experiment.train.optim_spill = OptimSpill::File;
        }
        experiment
    }
}

impl Base {
    /// The storage setting of an experiment.
    pub fn storage(self) -> Storage {
        match self {
            Base::F32 => Storage::Dense(DenseStorage::F32),
            Base::Bf16 => Storage::Dense(DenseStorage::Bf16),
            Base::Packed(..) => Storage::Quantized,
        }
    }

    /// The packing, where there is one.
    pub fn quant(self, block_size: usize) -> Option<QuantConfig> {
        match self {
            Base::Packed(format, double) => {
                Some(QuantConfig { format, block_size, double_quant: double == DoubleQuant::Yes })
            }
            _ => None,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Base::F32 => "f32".to_owned(),
            Base::Bf16 => "bf16".to_owned(),
            Base::Packed(format, DoubleQuant::Yes) => format!("{format}-dq"),
            Base::Packed(format, DoubleQuant::No) => format.to_string(),
        }
    }
}
