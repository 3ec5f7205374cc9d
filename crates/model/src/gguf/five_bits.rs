//! ggml's formats of 5-bit codes: four bits as in the 4-bit formats, the fifth apart.

use super::scales::{half_at, scale_and_min};

/// `d: f16, high: u32, q: [u8; 16]`; nibbles as in Q4_0, the fifth bit of value `i` is bit `i` of
/// `high`; value = d·(q − 16).
pub(super) fn q5_0(block: &[u8], y: &mut [f32]) {
    let d = half_at(block, 0);
    for_each_code(&block[2..], y, |y, code| *y = d * (f32::from(code) - 16.0));
}

/// `d: f16, m: f16, high: u32, q: [u8; 16]`; codes as in Q5_0; value = d·q + m.
pub(super) fn q5_1(block: &[u8], y: &mut [f32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for_each_code(&block[4..], y, |y, code| *y = d * f32::from(code) + m);
}

/// Calls `f` with each of 32 values and its code.
fn for_each_code(codes: &[u8], y: &mut [f32], f: impl Fn(&mut f32, u8)) {
    let (high, codes) = codes.split_at(4);
    let fifth = |i: usize| (high[i / 8] >> (i % 8) & 1) << 4;
    let (first, second) = y.split_at_mut(16);
    for (i, ((first, second), &q)) in first.iter_mut().zip(second).zip(codes).enumerate() {
        f(first, q & 0x0f | fifth(i));
        f(second, q >> 4 | fifth(i + 16));
    }
}

/// `d: f16, dmin: f16, scales: [u8; 12], high: [u8; 32], q: [u8; 128]`; as Q4_K, and bit `j` of
/// `high[i]` is the fifth bit of value `i` of sub-block `j`.
pub(super) fn q5_k(block: &[u8], y: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, rest) = block[4..].split_at(12);
    let (high, codes) = rest.split_at(32);
    for (j, y) in y.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_and_min(scales, j);
        let (scale, min) = (d * scale, dmin * min);
        let codes = &codes[j / 2 * 32..];
        for (i, y) in y.iter_mut().enumerate() {
            let low = if j.is_multiple_of(2) { codes[i] & 0x0f } else { codes[i] >> 4 };
            *y = scale * f32::from(low | (high[i] >> j & 1) << 4) - min;
        }
    }
}
