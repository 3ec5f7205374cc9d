//! Nearest codes by an exact search among the midpoints of a map.

use super::map::Tables;

/// Codes values of an ordinary block one by one.
pub(super) fn quantize_scaled(tables: &Tables, reciprocal: f32, values: &[f32], codes: &mut [u8]) {
    for (&value, code) in values.iter().zip(codes) {
        *code = count_below(&tables.midpoints, (value * reciprocal).clamp(-1.0, 1.0));
    }
}

/// How many midpoints lie strictly below `value`: eight branch-free halvings.
fn count_below(midpoints: &[f32; 255], value: f32) -> u8 {
    let mut below = 0usize;
    let mut half = 128;
    while half > 0 {
        // `below + half - 1` stays under 255: the steps sum to at most 255.
        below += if midpoints[below + half - 1] < value { half } else { 0 };
        half /= 2;
    }
    below as u8
}
