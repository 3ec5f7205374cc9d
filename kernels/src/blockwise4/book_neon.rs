//! The sixteen numbers of a code book in NEON registers, and their look-up.
//!
//! `tbl` looks up bytes: the four bytes of a number lie in four planes of sixteen bytes each, and what
//! is found in them is woven together again. Bytes are counted from the lowest, as on every system that
//! Rust's 64-bit Arm targets have a standard library for.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

/// Sixteen f32, byte by byte.
#[derive(Clone, Copy)]
pub(crate) struct CodeBook([uint8x16_t; 4]);

impl CodeBook {
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn new(table: &[f32; 16]) -> Self {
        Self::of(entries(table))
    }

    /// The book of these numbers.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn of(entries: [float32x4_t; 4]) -> Self {
        let [a, b, c, d] = entries.map(|four| vreinterpretq_u8_f32(four));
        // Bytes 0 and 2 of each number, then bytes 1 and 3.
        let (even, odd) = ([vuzp1q_u8(a, b), vuzp1q_u8(c, d)], [vuzp2q_u8(a, b), vuzp2q_u8(c, d)]);
        Self([
            vuzp1q_u8(even[0], even[1]),
            vuzp1q_u8(odd[0], odd[1]),
            vuzp2q_u8(even[0], even[1]),
            vuzp2q_u8(odd[0], odd[1]),
        ])
    }

    /// The numbers of sixteen codes, each below sixteen, in order.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn get(self, codes: uint8x16_t) -> [float32x4_t; 4] {
        let [first, second, third, fourth] = self.0.map(|plane| vqtbl1q_u8(plane, codes));
        let halves = |low, high| (vreinterpretq_u16_u8(low), vreinterpretq_u16_u8(high));
        let (low, high) = halves(vzip1q_u8(first, second), vzip1q_u8(third, fourth));
        let (later_low, later_high) = halves(vzip2q_u8(first, second), vzip2q_u8(third, fourth));
        [
            vreinterpretq_f32_u16(vzip1q_u16(low, high)),
            vreinterpretq_f32_u16(vzip2q_u16(low, high)),
            vreinterpretq_f32_u16(vzip1q_u16(later_low, later_high)),
            vreinterpretq_f32_u16(vzip2q_u16(later_low, later_high)),
        ]
    }
}

/// A table in four vectors.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn entries(table: &[f32; 16]) -> [float32x4_t; 4] {
    // SAFETY: the table holds sixteen values.
    std::array::from_fn(|i| unsafe { vld1q_f32(table.as_ptr().add(4 * i)) })
}

/// Sixteen packed bytes as codes: the first of each byte's two, and the second.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn nibbles(bytes: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
    (vshrq_n_u8::<4>(bytes), vandq_u8(bytes, vdupq_n_u8(15)))
}

/// Four values rounded to bfloat16 as `half::bf16::from_f32` does, in the high half of each lane; the low
/// half is anything.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn rounded_high(values: float32x4_t) -> uint32x4_t {
    let bits = vreinterpretq_u32_f32(values);
    let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    // A NaN is not rounded, which could carry into its sign, but made quiet.
    let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
    vbslq_u32(vceqq_f32(values, values), up, quiet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[target_feature(enable = "neon")]
    fn looked_up(table: &[f32; 16], bytes: &[u8; 16]) -> [[f32; 16]; 2] {
        // SAFETY: sixteen bytes are read from sixteen, and sixteen values written to sixteen.
        unsafe {
            let (first, second) = nibbles(vld1q_u8(bytes.as_ptr()));
            [first, second].map(|codes| {
                let mut values = [0f32; 16];
                for (values, four) in
                    values.as_chunks_mut::<4>().0.iter_mut().zip(CodeBook::new(table).get(codes))
                {
                    vst1q_f32(values.as_mut_ptr(), four);
                }
                values
            })
        }
    }

    #[target_feature(enable = "neon")]
    fn rounded(values: &[f32; 4]) -> [u16; 4] {
        let mut bits = [0u32; 4];
        // SAFETY: four values are read from four, and written to four.
        unsafe { vst1q_u32(bits.as_mut_ptr(), rounded_high(vld1q_f32(values.as_ptr()))) };
        bits.map(|bits| (bits >> 16) as u16)
    }

    proptest! {
        #[test]
        fn every_code_finds_its_number(table: [u32; 16], bytes: [u8; 16]) {
            let table = table.map(f32::from_bits);
            // SAFETY: every 64-bit Arm processor has NEON.
            let [first, second] = unsafe { looked_up(&table, &bytes) };
            for (i, byte) in bytes.into_iter().enumerate() {
                prop_assert_eq!(first[i].to_bits(), table[usize::from(byte >> 4)].to_bits());
                prop_assert_eq!(second[i].to_bits(), table[usize::from(byte & 15)].to_bits());
            }
        }

        #[test]
        fn bfloat16_is_rounded_as_everywhere(bits: [u32; 4]) {
            let values = bits.map(f32::from_bits);
            let want = values.map(|value| half::bf16::from_f32(value).to_bits());
            // SAFETY: every 64-bit Arm processor has NEON.
            prop_assert_eq!(unsafe { rounded(&values) }, want);
        }
    }
}
