//! AVX2: codes by a binary search over thresholds in registers, values by byte shuffles.

// The kernels' pointers stay inside slices whose lengths are checked where they are formed.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use half::{bf16, f16};

use super::walk::{GROUP, Run, decode_rest, for_each_block, groups};
use super::{Decision, Float, Packed4View};

/// Quantises whole blocks (the last may be partial).
#[target_feature(enable = "avx2,fma")]
pub(super) fn quantize_run<T: Float>(
    run: &Run<'_>,
    values: &[T],
    packed: &mut [MaybeUninit<u8>],
    absmax: &mut [MaybeUninit<f32>],
) {
    let search = Search::new(run.decision);
    run.quantize(values, packed, absmax, |scale, block, packed| {
        let scale = _mm256_set1_ps(scale);
        for (values, packed) in block.as_chunks::<GROUP>().0.iter().zip(packed.as_chunks_mut().0) {
            search.group(scale, values, packed);
        }
    });
}

/// The thresholds of a rounding rule, arranged for a binary search.
struct Search {
    middle: __m256,
    quarters: [__m256; 2],
    /// Thresholds 1, 5, 9 and 13 in each half.
    eighths: __m256,
    /// Thresholds 0, 2, …, 14.
    last: __m256,
    /// From the number of thresholds below a value to its code, in each half.
    order: __m256i,
}

impl Search {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(decision: &Decision) -> Self {
        let t = &decision.thresholds;
        let order = u128::from_le_bytes(decision.order);
        let order = _mm_set_epi64x((order >> 64) as i64, order as i64);
        Search {
            middle: _mm256_set1_ps(t[7]),
            quarters: [_mm256_set1_ps(t[3]), _mm256_set1_ps(t[11])],
            eighths: _mm256_setr_ps(t[1], t[5], t[9], t[13], t[1], t[5], t[9], t[13]),
            last: _mm256_setr_ps(t[0], t[2], t[4], t[6], t[8], t[10], t[12], t[14]),
            order: _mm256_broadcastsi128_si256(order),
        }
    }

    /// How many thresholds lie strictly below each of eight values.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn below(&self, values: __m256) -> __m256i {
        let above = |threshold| _mm256_cmp_ps::<_CMP_GT_OQ>(values, threshold);
        // Masks are 0 or −1: subtracting one appends a bit.
        let append = |bits, mask| _mm256_sub_epi32(_mm256_add_epi32(bits, bits), _mm256_castps_si256(mask));
        let mask = above(self.middle);
        let bits = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_castps_si256(mask));
        let bits = append(bits, above(_mm256_blendv_ps(self.quarters[0], self.quarters[1], mask)));
        let bits = append(bits, above(_mm256_permutevar_ps(self.eighths, bits)));
        append(bits, above(_mm256_permutevar8x32_ps(self.last, bits)))
    }

    /// Codes 32 values into 16 bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn group(&self, scale: __m256, values: &[f32; GROUP], packed: &mut [MaybeUninit<u8>; GROUP / 2]) {
        let eight = |i: usize| {
            // SAFETY: `i` is at most 3, so the eight values are among the 32.
            let values = unsafe { _mm256_loadu_ps(values.as_ptr().add(8 * i)) };
            self.below(_mm256_mul_ps(values, scale))
        };
        // Packing works within halves: bytes come as 0–3, 8–11, 16–19, 24–27 | 4–7, ….
        let codes = _mm256_packs_epi16(
            _mm256_packs_epi32(eight(0), eight(1)),
            _mm256_packs_epi32(eight(2), eight(3)),
        );
        let codes = _mm256_shuffle_epi8(self.order, codes);
        // 16·first + second of each pair, then the low bytes, then the order of the values.
        let pairs = _mm256_maddubs_epi16(codes, _mm256_set1_epi16(0x0110));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
        let places = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        // SAFETY: `packed` is 16 bytes long, and any bytes may be written to it.
        unsafe { _mm_storeu_si128(packed.as_mut_ptr().cast(), _mm_shuffle_epi8(bytes, places)) };
    }
}

/// Dequantises to f32; writes every element.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dequantize_f32(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f32>]) {
    let table = view.code.table();
    let halves = code_book(table);
    for_each_block(view, start, out.len(), |scale, first, range| {
        let out = &mut out[range];
        let (whole, bytes, groups) = groups(view.packed, first, out);
        if !groups.is_empty() {
            let scale = _mm256_set1_ps(scale);
            // The bytes of each scaled code, four codes to a quarter: all first bytes, all second ….
            let by_byte = _mm256_setr_epi8(
                0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, //
                0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
            );
            let [a, b] = halves
                .map(|half| _mm256_shuffle_epi8(_mm256_castps_si256(_mm256_mul_ps(half, scale)), by_byte));
            let (first, second) = planes(_mm256_unpacklo_epi32(a, b));
            let (third, fourth) = planes(_mm256_unpackhi_epi32(a, b));
            // Interleaving works within halves: the low half takes every other four values.
            let places = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
            for (bytes, out) in bytes.iter().zip(groups) {
                let codes = codes(bytes, places);
                let plane = |plane| _mm256_shuffle_epi8(plane, codes);
                let (first, second, third, fourth) =
                    (plane(first), plane(second), plane(third), plane(fourth));
                let low = [_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second)];
                let high = [_mm256_unpacklo_epi8(third, fourth), _mm256_unpackhi_epi8(third, fourth)];
                let out = out.as_mut_ptr().cast::<__m256i>();
                for i in 0..2 {
                    // SAFETY: a group is four vectors of eight values.
                    unsafe {
                        _mm256_storeu_si256(out.add(2 * i), _mm256_unpacklo_epi16(low[i], high[i]));
                        _mm256_storeu_si256(out.add(2 * i + 1), _mm256_unpackhi_epi16(low[i], high[i]));
                    }
                }
            }
        }
        if whole {
            return;
        }
        let book = table.map(|code| code * scale);
        decode_rest(&book, view.packed, first, out);
    });
}

/// Dequantises to bfloat16; writes every element.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dequantize_bf16(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<bf16>]) {
    let table = view.code.table();
    let halves = code_book(table);
    for_each_block(view, start, out.len(), |scale, first, range| {
        let out = &mut out[range];
        let (whole, bytes, groups) = groups(view.packed, first, out);
        if !groups.is_empty() {
            let scale = _mm256_set1_ps(scale);
            let book = halves.map(|half| rounded_to_bf16(_mm256_mul_ps(half, scale)));
            decode_16(book, bytes, groups);
        }
        if !whole {
            decode_rest(&table.map(|code| bf16::from_f32(code * scale)), view.packed, first, out);
        }
    });
}

/// Dequantises to half precision; writes every element.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn dequantize_f16(view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f16>]) {
    let table = view.code.table();
    let halves = code_book(table);
    for_each_block(view, start, out.len(), |scale, first, range| {
        let out = &mut out[range];
        let (whole, bytes, groups) = groups(view.packed, first, out);
        if !groups.is_empty() {
            let scale = _mm256_set1_ps(scale);
            let book = halves.map(|half| {
                let rounded = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_mul_ps(half, scale));
                _mm256_cvtepu16_epi32(rounded)
            });
            decode_16(book, bytes, groups);
        }
        if !whole {
            decode_rest(&table.map(|code| f16::from_f32(code * scale)), view.packed, first, out);
        }
    });
}

/// Looks up 16-bit numbers, given one to each 32-bit lane of the book.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn decode_16<T>(book: [__m256i; 2], bytes: &[[u8; GROUP / 2]], groups: &mut [[MaybeUninit<T>; GROUP]]) {
    const { assert!(size_of::<T>() == 2) };
    let by_byte = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, -1, -1, -1, -1, -1, -1, -1, -1, //
        0, 4, 8, 12, 1, 5, 9, 13, -1, -1, -1, -1, -1, -1, -1, -1,
    );
    let [a, b] = book.map(|half| _mm256_shuffle_epi8(half, by_byte));
    let (low, high) = planes(_mm256_unpacklo_epi32(a, b));
    // Interleaving works within halves: the low half takes every other eight values.
    let places = _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15);
    for (bytes, out) in bytes.iter().zip(groups) {
        let codes = codes(bytes, places);
        let (low, high) = (_mm256_shuffle_epi8(low, codes), _mm256_shuffle_epi8(high, codes));
        let out = out.as_mut_ptr().cast::<__m256i>();
        // SAFETY: a group is two vectors of sixteen 16-bit values.
        unsafe {
            _mm256_storeu_si256(out, _mm256_unpacklo_epi8(low, high));
            _mm256_storeu_si256(out.add(1), _mm256_unpackhi_epi8(low, high));
        }
    }
}

/// The sixteen codes' values in two vectors.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn code_book(table: &[f32; 16]) -> [__m256; 2] {
    // SAFETY: the table holds sixteen values.
    unsafe { [_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8))] }
}

/// From lanes `[a0 c0 a1 c1 | b0 d0 b1 d1]` to `abcd0` and `abcd1`, each in both halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn planes(lanes: __m256i) -> (__m256i, __m256i) {
    let both = _mm256_permutevar8x32_epi32(lanes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    (_mm256_permute4x64_epi64::<0x44>(both), _mm256_permute4x64_epi64::<0xee>(both))
}

/// 32 codes, one to a byte, of 16 packed bytes taken in the order `places`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn codes(bytes: &[u8; GROUP / 2], places: __m128i) -> __m256i {
    // SAFETY: sixteen bytes are read from sixteen.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let wide = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(bytes, places));
    let low = _mm256_slli_epi16::<8>(_mm256_and_si256(wide, _mm256_set1_epi16(15)));
    _mm256_or_si256(_mm256_srli_epi16::<4>(wide), low)
}

/// Eight values rounded to bfloat16 as [`bf16::from_f32`] does, one to a lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rounded_to_bf16(values: __m256) -> __m256i {
    let bits = _mm256_castps_si256(values);
    let high = _mm256_srli_epi32::<16>(bits);
    let odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    let up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
    _mm256_blendv_epi8(_mm256_srli_epi32::<16>(up), quiet, nan)
}
