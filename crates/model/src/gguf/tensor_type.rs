//! Block formats of tensor data, numbered as in `ggml.h` (`enum ggml_type`).

/// A block format this crate can expand to `f32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(non_camel_case_types)] // ggml's own names, as users know them from file names
pub enum TensorType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// 32 values: one half-precision scale, signed bytes.
    Q8_0,
    /// 32 values: one half-precision scale, 4-bit codes around 8.
    Q4_0,
    /// 32 values: half-precision scale and minimum, 4-bit codes.
    Q4_1,
    /// 256 values: eight sub-blocks with 6-bit scales and minima, 4-bit codes.
    Q4_K,
    /// 256 values: sixteen sub-blocks with 8-bit scales, 6-bit codes around 32.
    Q6_K,
    /// 32 values: one half-precision scale, 5-bit codes around 16.
    Q5_0,
    /// 32 values: half-precision scale and minimum, 5-bit codes.
    Q5_1,
    /// 256 values: sixteen sub-blocks with 4-bit scales and minima, 2-bit codes.
    Q2_K,
    /// 256 values: sixteen sub-blocks with 6-bit scales, 3-bit codes around 4.
    Q3_K,
    /// 256 values: eight sub-blocks with 6-bit scales and minima, 5-bit codes.
    Q5_K,
    /// 32 values: one half-precision scale, 4-bit codes of a table that is not linear.
    IQ4_NL,
    /// 256 values: eight sub-blocks with 6-bit scales, codes as in IQ4_NL.
    IQ4_XS,
    /// 32 values: one power of two as scale, 4-bit floats (OCP Microscaling).
    MXFP4,
}

impl TensorType {
    /// Every supported type.
    pub const ALL: [TensorType; 16] = [
        TensorType::F32,
        TensorType::F16,
        TensorType::BF16,
        TensorType::Q8_0,
        TensorType::Q4_0,
        TensorType::Q4_1,
        TensorType::Q4_K,
        TensorType::Q6_K,
        TensorType::Q5_0,
        TensorType::Q5_1,
        TensorType::Q2_K,
        TensorType::Q3_K,
        TensorType::Q5_K,
        TensorType::IQ4_NL,
        TensorType::IQ4_XS,
        TensorType::MXFP4,
    ];

    /// The type with ggml's number `id`, if it is supported.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.id() == id)
    }

    /// ggml's number of the type.
    pub fn id(self) -> u32 {
        match self {
            TensorType::F32 => 0,
            TensorType::F16 => 1,
            TensorType::Q4_0 => 2,
            TensorType::Q4_1 => 3,
            TensorType::Q8_0 => 8,
            TensorType::Q4_K => 12,
            TensorType::Q6_K => 14,
            TensorType::BF16 => 30,
            TensorType::Q5_0 => 6,
            TensorType::Q5_1 => 7,
            TensorType::Q2_K => 10,
            TensorType::Q3_K => 11,
            TensorType::Q5_K => 13,
            TensorType::IQ4_NL => 20,
            TensorType::IQ4_XS => 23,
            TensorType::MXFP4 => 39,
        }
    }

    /// ggml's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            TensorType::F32 => "F32",
            TensorType::F16 => "F16",
            TensorType::BF16 => "BF16",
            TensorType::Q8_0 => "Q8_0",
            TensorType::Q4_0 => "Q4_0",
            TensorType::Q4_1 => "Q4_1",
            TensorType::Q4_K => "Q4_K",
            TensorType::Q6_K => "Q6_K",
            TensorType::Q5_0 => "Q5_0",
            TensorType::Q5_1 => "Q5_1",
            TensorType::Q2_K => "Q2_K",
            TensorType::Q3_K => "Q3_K",
            TensorType::Q5_K => "Q5_K",
            TensorType::IQ4_NL => "IQ4_NL",
            TensorType::IQ4_XS => "IQ4_XS",
            TensorType::MXFP4 => "MXFP4",
        }
    }

    /// Values in one block.
    pub fn block_len(self) -> usize {
        match self {
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => 1,
            TensorType::Q8_0
            | TensorType::Q4_0
            | TensorType::Q4_1
            | TensorType::Q5_0
            | TensorType::Q5_1
            | TensorType::IQ4_NL
            | TensorType::MXFP4 => 32,
            TensorType::Q4_K
            | TensorType::Q6_K
            | TensorType::Q2_K
            | TensorType::Q3_K
            | TensorType::Q5_K
            | TensorType::IQ4_XS => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            TensorType::F32 => 4,
            TensorType::F16 | TensorType::BF16 => 2,
            TensorType::Q8_0 => 2 + 32,
            TensorType::Q4_0 => 2 + 16,
            TensorType::Q4_1 => 2 + 2 + 16,
            TensorType::Q4_K => 2 + 2 + 12 + 128,
            TensorType::Q6_K => 128 + 64 + 16 + 2,
            TensorType::Q5_0 => 2 + 4 + 16,
            TensorType::Q5_1 => 2 + 2 + 4 + 16,
            TensorType::Q2_K => 16 + 64 + 2 + 2,
            TensorType::Q3_K => 32 + 64 + 12 + 2,
            TensorType::Q5_K => 2 + 2 + 12 + 32 + 128,
            TensorType::IQ4_NL => 2 + 16,
            TensorType::IQ4_XS => 2 + 2 + 4 + 128,
            TensorType::MXFP4 => 1 + 16,
        }
    }

    /// The supported names in one line, for messages.
    pub(super) fn supported_names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// ggml's name for type number `id`, supported or not, for messages.
pub(super) fn name_of(id: u32) -> String {
    if let Some(known) = TensorType::from_id(id) {
        return known.name().to_string();
    }
    let name = match id {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        _ => return format!("number {id}"),
    };
    name.to_string()
}
