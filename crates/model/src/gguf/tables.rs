//! ggml's formats whose 4-bit codes stand for the numbers of a table. Nibbles lie as in Q4_0: low
//! ones are the first half of a run of 32, high ones the second.

use super::scales::half_at;

/// The codes of IQ4_NL and IQ4_XS, whole numbers.
pub(super) const NON_LINEAR: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// The codes of MXFP4 (E2M1), doubled so that they are whole.
const FLOATS: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, -0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// `d: f16, q: [u8; 16]`; value = d·table[q].
pub(super) fn iq4_nl(block: &[u8], y: &mut [f32]) {
    look_up(&NON_LINEAR, half_at(block, 0), &block[2..], y);
}

/// `d: f16, high: u16, low: [u8; 4], q: [u8; 128]`; eight sub-blocks of 32;
/// value = (d·(scale − 32))·table[q]; four bits of each scale are in `low`, two in `high`.
pub(super) fn iq4_xs(block: &[u8], y: &mut [f32]) {
    let d = half_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    let (low, codes) = block[4..].split_at(4);
    for (j, (y, codes)) in y.chunks_exact_mut(32).zip(codes.chunks_exact(16)).enumerate() {
        let scale = low[j / 2] >> (4 * (j % 2)) & 0x0f | ((high >> (2 * j) & 3) as u8) << 4;
        look_up(&NON_LINEAR, d * (f32::from(scale) - 32.0), codes, y);
    }
}

/// `e: u8, q: [u8; 16]`; value = 2^(e − 128)·table[q]: half of E8M0, for the doubled table.
pub(super) fn mxfp4(block: &[u8], y: &mut [f32]) {
    let scale = match block[0] {
        // Below the least normal number.
        e @ 0..=1 => f32::from_bits(0x0020_0000 << e),
        e => f32::from_bits(u32::from(e - 1) << 23),
    };
    look_up(&FLOATS, scale, &block[1..], y);
}

fn look_up(table: &[f32; 16], scale: f32, codes: &[u8], y: &mut [f32]) {
    let (first, second) = y.split_at_mut(16);
    for ((first, second), &q) in first.iter_mut().zip(second).zip(codes) {
        *first = scale * table[usize::from(q & 0x0f)];
        *second = scale * table[usize::from(q >> 4)];
    }
}
