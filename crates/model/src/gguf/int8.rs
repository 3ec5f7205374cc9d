//! Block formats that are multiplied as integers just as they lie in the file.

use camelid_quant::{INT8_BLOCK, Int8Codes};
use half::f16;

use super::tables::NON_LINEAR;
use super::tensor_type::TensorType;

/// What the codes of such a format stand for; `None` for every other format.
pub(crate) fn int8_codes(kind: TensorType) -> Option<Int8Codes> {
    Some(match kind {
        TensorType::Q8_0 => Int8Codes::Bytes,
        TensorType::Q4_0 => Int8Codes::Nibbles { table: std::array::from_fn(|i| i as i8 - 8), minima: false },
        TensorType::Q4_1 => Int8Codes::Nibbles { table: std::array::from_fn(|i| i as i8), minima: true },
        TensorType::IQ4_NL => {
            Int8Codes::Nibbles { table: NON_LINEAR.map(|value| value as i8), minima: false }
        }
        _ => return None,
    })
}

/// Scale, minimum (zero where there is none) and codes of a block of a format that [`int8_codes`]
/// knows.
pub(crate) fn int8_block(kind: TensorType, block: &[u8]) -> (f16, f16, [u8; INT8_BLOCK]) {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]);
    let minimum = if kind == TensorType::Q4_1 { half(2) } else { f16::ZERO };
    let codes = &block[if kind == TensorType::Q4_1 { 4 } else { 2 }..];
    let codes = match kind {
        TensorType::Q8_0 => std::array::from_fn(|i| codes[i]),
        // Low nibbles are the first half of a block, high ones the second.
        _ => std::array::from_fn(|i| if i < 16 { codes[i] & 15 } else { codes[i - 16] >> 4 }),
    };
    (half(0), minimum, codes)
}
