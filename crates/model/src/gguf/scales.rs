//! Scales as several of ggml's formats store them.

use half::f16;

pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 6-bit scale and minimum of sub-block `j` (of 8). The first four of each lie
/// in the low six bits of bytes 0..4 and 4..8; the last four are split between the
/// nibbles of bytes 8..12 and the two high bits left over.
pub(super) fn scale_and_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        ((packed[j + 4] & 0x0f) | ((packed[j - 4] >> 6) << 4), (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4))
    };
    (f32::from(scale), f32::from(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q4_k_scales_straddle_bytes() {
        let packed = [0xc1, 0x82, 0x43, 0x04, 0x45, 0x86, 0xc7, 0x08, 0x21, 0x43, 0x65, 0x87];
        let pairs: Vec<_> = (0..8).map(|j| scale_and_min(&packed, j)).collect();
        let expected = [
            (1.0, 5.0),
            (2.0, 6.0),
            (3.0, 7.0),
            (4.0, 8.0),
            (49.0, 18.0), // 0x1 | 3<<4, 0x2 | 1<<4
            (35.0, 36.0), // 0x3 | 2<<4, 0x4 | 2<<4
            (21.0, 54.0), // 0x5 | 1<<4, 0x6 | 3<<4
            (7.0, 8.0),   // 0x7 | 0,    0x8 | 0
        ];
        assert_eq!(pairs, expected);
    }
}
