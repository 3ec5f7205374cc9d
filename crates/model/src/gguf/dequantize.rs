//! Expanding ggml's block formats to `f32`.
//!
//! Layouts and the order of operations are those of ggml's reference
//! `dequantize_row_*` functions, so results agree with them to the last bit:
//! scales are widened to `f32` first and every product is rounded once.

use half::bf16;

use super::few_bits::{q2_k, q3_k};
use super::five_bits::{q5_0, q5_1, q5_k};
use super::scales::{half_at, scale_and_min};
use super::tables::{iq4_nl, iq4_xs, mxfp4};
use super::tensor_type::TensorType;

/// Expands whole blocks of `kind` into `out`.
///
/// `blocks` holds `out.len() / kind.block_len()` blocks. What does not fill a
/// block, on either side, is left alone; callers check sizes when they know the
/// tensor's name.
pub fn dequantize(kind: TensorType, blocks: &[u8], out: &mut [f32]) {
    let pairs = blocks.chunks_exact(kind.block_bytes()).zip(out.chunks_exact_mut(kind.block_len()));
    match kind {
        TensorType::F32 => pairs.for_each(|(b, y)| y[0] = f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        TensorType::F16 => pairs.for_each(|(b, y)| y[0] = half_at(b, 0)),
        TensorType::BF16 => pairs.for_each(|(b, y)| y[0] = bf16::from_le_bytes([b[0], b[1]]).to_f32()),
        TensorType::Q8_0 => pairs.for_each(|(b, y)| q8_0(b, y)),
        TensorType::Q4_0 => pairs.for_each(|(b, y)| q4_0(b, y)),
        TensorType::Q4_1 => pairs.for_each(|(b, y)| q4_1(b, y)),
        TensorType::Q4_K => pairs.for_each(|(b, y)| q4_k(b, y)),
        TensorType::Q6_K => pairs.for_each(|(b, y)| q6_k(b, y)),
        TensorType::Q5_0 => pairs.for_each(|(b, y)| q5_0(b, y)),
        TensorType::Q5_1 => pairs.for_each(|(b, y)| q5_1(b, y)),
        TensorType::Q2_K => pairs.for_each(|(b, y)| q2_k(b, y)),
        TensorType::Q3_K => pairs.for_each(|(b, y)| q3_k(b, y)),
        TensorType::Q5_K => pairs.for_each(|(b, y)| q5_k(b, y)),
        TensorType::IQ4_NL => pairs.for_each(|(b, y)| iq4_nl(b, y)),
        TensorType::IQ4_XS => pairs.for_each(|(b, y)| iq4_xs(b, y)),
        TensorType::MXFP4 => pairs.for_each(|(b, y)| mxfp4(b, y)),
    }
}

/// `d: f16, q: [i8; 32]`; value = d·q.
fn q8_0(block: &[u8], y: &mut [f32]) {
    let d = half_at(block, 0);
    for (y, &q) in y.iter_mut().zip(&block[2..]) {
        *y = d * f32::from(q.cast_signed());
    }
}

/// `d: f16, q: [u8; 16]`; low nibbles are values 0..16, high nibbles 16..32;
/// value = d·(q − 8).
fn q4_0(block: &[u8], y: &mut [f32]) {
    let d = half_at(block, 0);
    let (low, high) = y.split_at_mut(16);
    for ((low, high), &q) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = d * (f32::from(q & 0x0f) - 8.0);
        *high = d * (f32::from(q >> 4) - 8.0);
    }
}

/// `d: f16, m: f16, q: [u8; 16]`; nibbles as in Q4_0; value = d·q + m.
fn q4_1(block: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let (low, high) = y.split_at_mut(16);
    for ((low, high), &q) in low.iter_mut().zip(high).zip(&block[4..]) {
        *low = d * f32::from(q & 0x0f) + m;
        *high = d * f32::from(q >> 4) + m;
    }
}

/// `d: f16, dmin: f16, scales: [u8; 12], q: [u8; 128]`; eight sub-blocks of 32;
/// value = (d·scale)·q − dmin·min. Each 32 bytes of `q` hold two sub-blocks: the
/// even one in the low nibbles, the odd one in the high nibbles.
fn q4_k(block: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, codes) = block[4..].split_at(12);
    for (pair, (y, q)) in y.chunks_exact_mut(64).zip(codes.chunks_exact(32)).enumerate() {
        let (scale_low, min_low) = scale_and_min(scales, 2 * pair);
        let (scale_high, min_high) = scale_and_min(scales, 2 * pair + 1);
        let (scale_low, min_low) = (d * scale_low, dmin * min_low);
        let (scale_high, min_high) = (d * scale_high, dmin * min_high);
        let (low, high) = y.split_at_mut(32);
        for ((low, high), &q) in low.iter_mut().zip(high).zip(q) {
            *low = scale_low * f32::from(q & 0x0f) - min_low;
            *high = scale_high * f32::from(q >> 4) - min_high;
        }
    }
}

/// `ql: [u8; 128], qh: [u8; 64], scales: [i8; 16], d: f16`; value = (d·scale)·(q − 32)
/// with sub-blocks of 16. Each half of 128 values takes 64 bytes of `ql` (low four
/// bits), 32 of `qh` (high two bits of four values, 32 apart) and 8 scales.
fn q6_k(block: &[u8], y: &mut [f32]) {
    let (low_bits, rest) = block.split_at(128);
    let (high_bits, rest) = rest.split_at(64);
    let (scales, _) = rest.split_at(16);
    let d = half_at(block, 208);
    let halves = low_bits.chunks_exact(64).zip(high_bits.chunks_exact(32)).zip(scales.chunks_exact(8));
    for (y, ((ql, qh), scales)) in y.chunks_exact_mut(128).zip(halves) {
        for (i, &high) in qh.iter().enumerate() {
            let code = [
                (ql[i] & 0x0f) | ((high & 3) << 4),
                (ql[i + 32] & 0x0f) | (((high >> 2) & 3) << 4),
                (ql[i] >> 4) | (((high >> 4) & 3) << 4),
                (ql[i + 32] >> 4) | (((high >> 6) & 3) << 4),
            ];
            for (quarter, code) in code.into_iter().enumerate() {
                let scale = f32::from(scales[2 * quarter + i / 16].cast_signed());
                y[32 * quarter + i] = (d * scale) * (f32::from(code) - 32.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values worked out by hand from the layout, one per distinct path of the code.
    #[test]
    fn hand_made_q4_blocks() {
        // d = 0.5, m = -1; first byte 0x2f: value 0 has code 15, value 16 code 2.
        let mut block = vec![0x00, 0x38, 0x00, 0xbc];
        block.extend([0x2f; 1]);
        block.extend([0x80; 15]);
        let mut y = [0.0; 32];
        dequantize(TensorType::Q4_1, &block, &mut y);
        assert_eq!((y[0], y[16], y[1], y[17]), (6.5, 0.0, -1.0, 3.0));

        let mut block = vec![0x00, 0x38];
        block.extend([0x2f; 1]);
        block.extend([0x80; 15]);
        dequantize(TensorType::Q4_0, &block, &mut y);
        assert_eq!((y[0], y[16], y[1], y[17]), (3.5, -3.0, -4.0, 0.0));
    }
}
