//! Typed metadata values.

/// A metadata value. Integer and float widths of the file are widened: readers care
/// about the number, not about how it was stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any of the eight integer types.
    Integer(i128),
    /// `f32` or `f64`.
    Float(f64),
    /// A byte that is 0 or 1.
    Bool(bool),
    /// UTF-8 text.
    String(String),
    /// An array of any integer type.
    Integers(Vec<i64>),
    /// An array of `f32` or `f64`.
    Floats(Vec<f64>),
    /// An array of booleans.
    Bools(Vec<bool>),
    /// An array of texts.
    Strings(Vec<String>),
}

impl Value {
    /// The value in few words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Value::Integer(v) => format!("the integer {v}"),
            Value::Float(v) => format!("the number {v}"),
            Value::Bool(v) => format!("the boolean {v}"),
            Value::String(v) => {
                let short: String = v.chars().take(40).collect();
                let more = if short.len() < v.len() { "…" } else { "" };
                format!("the text {short:?}{more}")
            }
            Value::Integers(v) => format!("an array of {} integers", v.len()),
            Value::Floats(v) => format!("an array of {} numbers", v.len()),
            Value::Bools(v) => format!("an array of {} booleans", v.len()),
            Value::Strings(v) => format!("an array of {} texts", v.len()),
        }
    }
}

/// The value types of the file format (`enum gguf_metadata_value_type`).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    pub(super) fn from_id(id: u32) -> Option<Self> {
        use ValueType::*;
        let all = [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64];
        all.get(usize::try_from(id).ok()?).copied()
    }

    /// The fewest bytes one value of this type takes in a file.
    pub(super) fn min_bytes(self) -> u64 {
        use ValueType::*;
        match self {
            U8 | I8 | Bool => 1,
            U16 | I16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 | String => 8,
            Array => 12,
        }
    }
}
