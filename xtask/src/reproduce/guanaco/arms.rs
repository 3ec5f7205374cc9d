//! The arms of the comparison: how the base is stored, where adapters go, and whether the
//! optimizer's state is paged.

use camelid_quant::Format::{Fp4, Int4, Nf4};
use camelid_recipe::BaseFormat::{self, Bf16, F32, Packed};
use camelid_recipe::{DoubleQuant, Trains, TuningArm as Arm};

/// The storage formats of Table 2 that can be held here, the dense one first.
pub const FORMATS: [BaseFormat; 5] = [F32, QLORA.base, NF4.base, FP4.base, INT4.base];

/// QLoRA as the paper proposes it; every comparison is against this arm.
pub const QLORA: Arm = Arm {
    name: "qlora-nf4-dq",
    label: "adapters on an NF4 base, double-quantised",
    base: Packed(Nf4, DoubleQuant::Yes),
    trains: Trains::Adapters,
    optimizer_budget: None,
};

/// LoRA on the unquantised base.
pub const LORA: Arm = Arm { name: "lora-f32", label: "adapters on the 32-bit base", base: F32, ..QLORA };

/// LoRA on a 16-bit base.
pub const LORA_BF16: Arm =
    Arm { name: "lora-bf16", label: "adapters on the 16-bit base", base: Bf16, ..QLORA };

/// Every weight trained.
pub const FULL: Arm = Arm {
    name: "full-f32",
    label: "every weight trained, 32-bit",
    base: F32,
    trains: Trains::Everything { learning_rate: 0.25 },
    ..QLORA
};

/// QLoRA without double quantisation.
pub const NF4: Arm =
    Arm { name: "qlora-nf4", label: "adapters on an NF4 base", base: Packed(Nf4, DoubleQuant::No), ..QLORA };

/// QLoRA on 4-bit floats.
pub const FP4: Arm = Arm {
    name: "qlora-fp4-dq",
    label: "adapters on an FP4 base, double-quantised",
    base: Packed(Fp4, DoubleQuant::Yes),
    ..QLORA
};

/// QLoRA on 4-bit integers.
pub const INT4: Arm = Arm {
    name: "qlora-int4-dq",
    label: "adapters on an INT4 base, double-quantised",
    base: Packed(Int4, DoubleQuant::Yes),
    ..QLORA
};

/// QLoRA with adapters on attention alone.
pub const ATTENTION: Arm = Arm {
    name: "qlora-attention",
    label: "adapters on attention's projections only, NF4 base, double-quantised",
    trains: Trains::AdaptersOn(&["q_proj", "k_proj", "v_proj", "o_proj"]),
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
