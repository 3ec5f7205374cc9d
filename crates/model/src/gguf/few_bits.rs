//! ggml's formats of two and three bits: sixteen sub-blocks of 16 values in a block of 256.
//!
//! Each half of 128 values takes 32 bytes of codes, whose four pairs of bits belong to values 32
//! apart.

use super::scales::half_at;

/// `scales: [u8; 16], q: [u8; 64], d: f16, dmin: f16`; value = (d·scale)·q − dmin·min, the scale in
/// the low, the minimum in the high nibble.
pub(super) fn q2_k(block: &[u8], y: &mut [f32]) {
    let (scales, codes) = block.split_at(16);
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for (sub, y) in y.chunks_exact_mut(16).enumerate() {
        let (scale, min) = (d * f32::from(scales[sub] & 0x0f), dmin * f32::from(scales[sub] >> 4));
        for (i, y) in y.iter_mut().enumerate() {
            *y = scale * f32::from(two_bits(codes, sub, i)) - min;
        }
    }
}

/// `high: [u8; 32], q: [u8; 64], scales: [u8; 12], d: f16`; value = (d·(scale − 32))·(q − 4), the
/// third bit of a code in `high`.
pub(super) fn q3_k(block: &[u8], y: &mut [f32]) {
    let (high, codes) = block.split_at(32);
    let scales = &block[96..108];
    let d = half_at(block, 108);
    for (sub, y) in y.chunks_exact_mut(16).enumerate() {
        let scale = d * (f32::from(six_bits(scales, sub)) - 32.0);
        for (i, y) in y.iter_mut().enumerate() {
            let third = high[sub % 2 * 16 + i] >> (sub / 2) & 1;
            *y = scale * (f32::from(two_bits(codes, sub, i) | third << 2) - 4.0);
        }
    }
}

/// The code, but for a third bit, of value `i` of sub-block `sub`.
fn two_bits(codes: &[u8], sub: usize, i: usize) -> u8 {
    let (half, quarter) = (sub / 8, sub % 8 / 2);
    codes[half * 32 + sub % 2 * 16 + i] >> (2 * quarter) & 3
}

/// Scale `sub` of 16: four bits in the nibbles of the first eight bytes, two in the last four.
fn six_bits(scales: &[u8], sub: usize) -> u8 {
    let low = if sub < 8 { scales[sub] & 0x0f } else { scales[sub - 8] >> 4 };
    low | (scales[8 + sub % 4] >> (2 * (sub / 4)) & 3) << 4
}
