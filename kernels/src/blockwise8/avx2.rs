//! AVX2: nearest codes by arithmetic.
//!
//! A dynamic map is linear within each decade, so the code of a magnitude is nearly
//! `slope·magnitude + intercept`, rounded. Nearly: the map's entries were rounded, and a magnitude
//! that falls almost half-way between two of them is searched for among the exact midpoints.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::map::Tables;
use super::pieces::{Pieces, SURE};
use super::search;

/// Values coded at a time.
const GROUP: usize = 32;

/// The largest magnitude of a block; NaN is left out.
#[target_feature(enable = "avx2,fma")]
pub(super) fn largest_magnitude(block: &[f32]) -> f32 {
    let (groups, rest) = block.as_chunks::<GROUP>();
    let magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
    let mut largest = [_mm256_setzero_ps(); 4];
    for group in groups {
        for (i, largest) in largest.iter_mut().enumerate() {
            // SAFETY: a group is four vectors.
            let values = unsafe { _mm256_loadu_ps(group.as_ptr().add(8 * i)) };
            // Where one of the two is NaN the second is taken.
            *largest = _mm256_max_ps(_mm256_and_ps(values, magnitude), *largest);
        }
    }
    let [a, b, c, d] = largest;
    let largest = _mm256_max_ps(_mm256_max_ps(a, b), _mm256_max_ps(c, d));
    let half = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps::<1>(largest));
    let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
    let one = _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
    rest.iter().fold(one, |largest, value| if value.abs() > largest { value.abs() } else { largest })
}

/// Codes the values of an ordinary block: the reciprocal of its scale is finite.
#[target_feature(enable = "avx2,fma")]
pub(super) fn quantize_scaled(tables: &Tables, reciprocal: f32, values: &[f32], codes: &mut [u8]) {
    let linear = Linear::new(&tables.pieces);
    let scale = _mm256_set1_ps(reciprocal);
    let (groups, rest) = values.as_chunks::<GROUP>();
    let (code_groups, code_rest) = codes.as_chunks_mut::<GROUP>();
    for (values, codes) in groups.iter().zip(code_groups) {
        let mut unsure = _mm256_setzero_ps();
        let mut eight = |i: usize| {
            // SAFETY: a group is four vectors.
            let values = unsafe { _mm256_loadu_ps(values.as_ptr().add(8 * i)) };
            let (codes, halfway) = linear.nearest(_mm256_mul_ps(values, scale));
            unsure = _mm256_or_ps(unsure, halfway);
            codes
        };
        let packed = _mm256_packus_epi16(
            _mm256_packs_epi32(eight(0), eight(1)),
            _mm256_packs_epi32(eight(2), eight(3)),
        );
        // Packing works within halves.
        let packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        // SAFETY: a group of codes is one vector of bytes.
        unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) };
        if _mm256_movemask_ps(unsure) != 0 {
            search(tables, reciprocal, values, codes);
        }
    }
    search::quantize_scaled(tables, reciprocal, rest, code_rest);
}

/// Decodes values that share a scale.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dequantize_scaled(table: &[f32; 256], absmax: f32, codes: &[u8], out: &mut [f32]) {
    let scale = _mm256_set1_ps(absmax);
    let (groups, rest) = codes.as_chunks::<8>();
    let (out_groups, out_rest) = out.as_chunks_mut::<8>();
    for (codes, out) in groups.iter().zip(out_groups) {
        let codes = _mm_cvtsi64_si128(i64::from_le_bytes(*codes));
        // SAFETY: a code is below 256, the length of the table; a group is one vector.
        unsafe {
            let values = _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_cvtepu8_epi32(codes));
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_mul_ps(values, scale));
        }
    }
    for (out, &code) in out_rest.iter_mut().zip(rest) {
        *out = table[usize::from(code)] * absmax;
    }
}

/// The exact search, for a group with a value almost half-way between two codes.
#[cold]
fn search(tables: &Tables, reciprocal: f32, values: &[f32], codes: &mut [u8]) {
    search::quantize_scaled(tables, reciprocal, values, codes);
}

/// [`Pieces`] in registers.
struct Linear {
    ends: __m256i,
    slope: __m256,
    top: __m256,
    /// Added to a piece: the exponent field of the number of its codes.
    bias: __m256i,
    /// What is taken off `8n/9` and off `2n` for the place and the last code of a piece.
    offset: __m256,
    last_offset: __m256,
    /// The code of zero.
    zero: __m256i,
    signed: bool,
}

impl Linear {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(pieces: &Pieces) -> Self {
        let signed = pieces.signed;
        Linear {
            // SAFETY: the tables hold eight 32-bit entries each.
            ends: unsafe { _mm256_loadu_si256(pieces.ends.as_ptr().cast()) },
            // SAFETY: as above.
            slope: unsafe { _mm256_loadu_ps(pieces.slope.as_ptr()) },
            top: _mm256_set1_ps(pieces.top),
            bias: _mm256_set1_epi32(if signed { 126 } else { 127 }),
            offset: _mm256_set1_ps(if signed { -0.5 } else { -1.5 }),
            last_offset: _mm256_set1_ps(if signed { -1.0 } else { -2.0 }),
            zero: _mm256_set1_epi32(if signed { 127 } else { 0 }),
            signed,
        }
    }

    /// The nearest codes of eight values in `[-1, 1]`, and where that is not sure.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn nearest(&self, values: __m256) -> (__m256i, __m256) {
        let sign_bit = _mm256_set1_ps(-0.0);
        let magnitude = if self.signed {
            _mm256_andnot_ps(sign_bit, values)
        } else {
            // NaN is the second operand, and stays; so does −0, but for its sign.
            _mm256_andnot_ps(sign_bit, _mm256_max_ps(_mm256_setzero_ps(), values))
        };
        let bits = _mm256_castps_si256(magnitude);

        // A third of the exponent, counted from 2⁻²³, is the piece or the one before it: the
        // pieces begin a factor of about ten apart, and each in an exponent of its own.
        let exponent = _mm256_subs_epu16(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127 - 23));
        let piece = _mm256_mulhi_epu16(exponent, _mm256_set1_epi32(21_846));
        let end = _mm256_permutevar8x32_epi32(self.ends, piece);
        // A tie belongs to the lower code, which on the negative side is the larger magnitude.
        let (negative, reached) = if self.signed {
            let negative = _mm256_srai_epi32::<31>(_mm256_castps_si256(values));
            (negative, _mm256_sub_epi32(bits, negative))
        } else {
            (_mm256_setzero_si256(), bits)
        };
        let piece = _mm256_sub_epi32(piece, _mm256_cmpgt_epi32(reached, end));

        let slope = _mm256_permutevar8x32_ps(self.slope, piece);
        let count = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(piece, self.bias)));
        let intercept = _mm256_fmadd_ps(count, _mm256_set1_ps(8.0 / 9.0), self.offset);
        let last = _mm256_fmadd_ps(count, _mm256_set1_ps(2.0), self.last_offset);
        let place = _mm256_fmadd_ps(magnitude, slope, intercept);
        let place = _mm256_min_ps(last, place);
        // In the piece of zero the rule is beside the point; NaN stays, as above.
        let place = if self.signed { place } else { _mm256_max_ps(_mm256_setzero_ps(), place) };
        let steps = _mm256_cvtps_epi32(place);
        let distance = _mm256_andnot_ps(sign_bit, _mm256_sub_ps(place, _mm256_cvtepi32_ps(steps)));
        // Not less than: true of NaN too.
        let unsure = _mm256_cmp_ps::<_CMP_NLT_UQ>(distance, _mm256_set1_ps(SURE));
        // Only +1 has the code beyond the last piece.
        let above = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(values, self.top));
        let steps = _mm256_sub_epi32(steps, above);
        let steps = _mm256_sub_epi32(_mm256_xor_si256(steps, negative), negative);
        (_mm256_add_epi32(self.zero, steps), unsure)
    }
}
