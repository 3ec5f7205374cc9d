//! The loops of AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{Row, SPARE, STEP, part};
use crate::blockwise4::{AbsmaxView, Packed4View};
use crate::isa::Isa;
use crate::product::pack4;

/// Bytes that lie between what is read and what is asked for, by AVX2 and by AVX-512.
const AHEAD: usize = 2048;
const WIDE_AHEAD: usize = 4096;

/// Which of the two, and their code book.
pub(super) struct Loops {
    /// AVX-512 rather than AVX2.
    wide: bool,
    table: [f32; 16],
    /// Byte by byte, the entries of the code book.
    planes: [[u8; 16]; 4],
}

impl Loops {
    pub fn new(table: &[f32; 16]) -> Self {
        let bytes = table.map(f32::to_le_bytes);
        let planes = std::array::from_fn(|plane| bytes.map(|bytes| bytes[plane]));
        Self { wide: Isa::active() >= Isa::Avx512, table: *table, planes }
    }

    /// Puts a row into the order in which the loop meets its values.
    pub fn part(&self, to: &mut [f32], from: &[f32]) {
        if self.wide { part_wide(to, from) } else { part(to, from, 8) }
    }

    /// `y = x · rowᵀ` for `M` rows of `x`.
    ///
    /// # Safety
    /// The instruction set is there, and the task as described, with [`SPARE`] more scales to read.
    pub unsafe fn dot<const M: usize>(&self, task: Row<'_>, y: &mut [f32]) {
        // SAFETY: handed on.
        unsafe {
            if self.wide {
                dot_avx512::<M>(&self.table, task, y);
            } else {
                dot_avx2::<M>(&self.planes, task, y);
            }
        }
    }

    /// The scales of the runs of the `inn` values from `start`, and some more to read.
    pub fn scales(
        &self,
        view: &Packed4View<'_>,
        start: usize,
        inn: usize,
        run: usize,
        scales: &mut Vec<f32>,
    ) {
        match view.absmax {
            AbsmaxView::Nested { codes, absmax, offset, block_size, table }
                if self.wide && run == view.block_size && block_size.is_power_of_two() =>
            {
                let blocks = (start / run, inn / run);
                let (shift, table) = (block_size.trailing_zeros(), table.values());
                // SAFETY: the constructor saw AVX-512; a slice is taken of the codes.
                unsafe { decode_scales(codes, absmax, offset, shift, table, blocks, scales) };
            }
            _ => {
                pack4::run_scales(view, start, inn, run, scales);
                scales.resize(scales.len() + SPARE, 0.0);
            }
        }
    }
}

/// Code books are looked up byte by byte, four times sixteen entries in one register
/// each: this processor family shuffles bytes at twice the rate of whole lanes.
///
/// # Safety
/// AVX2; the row holds whole runs of bytes and a scale for each, `x` `M` parted rows of twice as many values
/// as there are bytes; `y` at least `M`.
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_avx2<const M: usize>(planes: &[[u8; 16]; 4], row: Row<'_>, y: &mut [f32]) {
    let Row { bytes, scales, run, x } = row;
    let inn = 2 * bytes.len();
    // SAFETY: as promised above.
    unsafe {
        let mut registers = [_mm256_setzero_si256(); 4];
        for (register, plane) in registers.iter_mut().zip(planes) {
            *register = _mm256_broadcastsi128_si256(_mm_loadu_si128(plane.as_ptr().cast()));
        }
        let planes = registers;
        let shifts = _mm256_setr_epi64x(4, 4, 0, 0);
        let mask = _mm256_set1_epi8(15);
        let mut sums = [_mm256_setzero_ps(); M];
        for (i, scale) in scales.iter().enumerate().take(inn / run) {
            let mut parts = [[_mm256_setzero_ps(); 2]; M];
            _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(i * run / 2 + AHEAD).cast());
            for at in (i * run..(i + 1) * run).step_by(STEP) {
                let bytes = _mm_loadu_si128(bytes.as_ptr().add(at / 2).cast());
                // High nibbles in the lower lane, low ones in the upper.
                let nibbles = _mm256_srlv_epi64(_mm256_broadcastsi128_si256(bytes), shifts);
                let nibbles = _mm256_and_si256(nibbles, mask);
                let p0 = _mm256_shuffle_epi8(planes[0], nibbles);
                let p1 = _mm256_shuffle_epi8(planes[1], nibbles);
                let p2 = _mm256_shuffle_epi8(planes[2], nibbles);
                let p3 = _mm256_shuffle_epi8(planes[3], nibbles);
                let (low, low_later) = (_mm256_unpacklo_epi8(p0, p1), _mm256_unpackhi_epi8(p0, p1));
                let (high, high_later) = (_mm256_unpacklo_epi8(p2, p3), _mm256_unpackhi_epi8(p2, p3));
                let values = [
                    _mm256_castsi256_ps(_mm256_unpacklo_epi16(low, high)),
                    _mm256_castsi256_ps(_mm256_unpackhi_epi16(low, high)),
                    _mm256_castsi256_ps(_mm256_unpacklo_epi16(low_later, high_later)),
                    _mm256_castsi256_ps(_mm256_unpackhi_epi16(low_later, high_later)),
                ];
                for (r, parts) in parts.iter_mut().enumerate() {
                    let x = x.as_ptr().add(r * inn + at);
                    for (i, values) in values.into_iter().enumerate() {
                        let x = _mm256_loadu_ps(x.add(8 * i));
                        parts[i % 2] = _mm256_fmadd_ps(values, x, parts[i % 2]);
                    }
                }
            }
            let scale = _mm256_set1_ps(*scale);
            for (sum, [even, odd]) in sums.iter_mut().zip(parts) {
                *sum = _mm256_fmadd_ps(_mm256_add_ps(even, odd), scale, *sum);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            let halves = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            *y = _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)));
        }
    }
}

/// Values that a step of the wide loop takes: 64 bytes, sixteen words of eight codes.
const WIDE_STEP: usize = 128;

/// The order in which `dot_avx512` meets the values of a row: steps of 128 code by code of its
/// words, what remains as in [`STEP`]s of even and odd ones.
fn part_wide(to: &mut [f32], from: &[f32]) {
    let whole = from.len() / WIDE_STEP * WIDE_STEP;
    for (to, from) in to.chunks_exact_mut(WIDE_STEP).zip(from.chunks_exact(WIDE_STEP)) {
        for (code, to) in to.chunks_exact_mut(16).enumerate() {
            // A byte's first value is in its high nibble, code 1 of 2.
            let first = code / 2 * 2 + (1 - code % 2);
            for (word, to) in to.iter_mut().enumerate() {
                *to = from[8 * word + first];
            }
        }
    }
    part(&mut to[whole..], &from[whole..], STEP);
}

/// Looks up all eight codes of a word in its lane: the permute reads the lane's low four bits alone, so that
/// a code takes a shift and nothing else. Every line of memory is read once, in order.
///
/// # Safety
/// AVX-512 F; the row holds whole runs of bytes, a scale for each run and [`SPARE`] more to read, `x` `M` rows
/// in the order of [`part_wide`] of twice as many values as there are bytes; `y` at least `M`.
#[target_feature(enable = "avx512f")]
unsafe fn dot_avx512<const M: usize>(table: &[f32; 16], row: Row<'_>, y: &mut [f32]) {
    let Row { bytes, scales, run, x } = row;
    let inn = 2 * bytes.len();
    let whole = inn / WIDE_STEP * WIDE_STEP;
    // The run of each word of a step, from the step's first.
    let runs: [i32; 16] = std::array::from_fn(|word| (8 * word / run) as i32);
    // SAFETY: as promised above.
    unsafe {
        let codes = _mm512_loadu_ps(table.as_ptr());
        let runs = _mm512_loadu_si512(runs.as_ptr().cast());
        let mut sums = [_mm512_setzero_ps(); M];
        for at in (0..whole).step_by(WIDE_STEP) {
            let step = bytes.as_ptr().add(at / 2);
            _mm_prefetch::<_MM_HINT_T0>(step.wrapping_add(WIDE_AHEAD).cast());
            let words = _mm512_loadu_si512(step.cast());
            let words = [
                words,
                _mm512_srli_epi32::<8>(words),
                _mm512_srli_epi32::<16>(words),
                _mm512_srli_epi32::<24>(words),
            ];
            let mut parts = [[_mm512_setzero_ps(); 2]; M];
            for (byte, words) in words.into_iter().enumerate() {
                let low = _mm512_permutexvar_ps(words, codes);
                let high = _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(words), codes);
                for (r, [even, odd]) in parts.iter_mut().enumerate() {
                    let x = x.as_ptr().add(r * inn + at + 32 * byte);
                    *even = _mm512_fmadd_ps(low, _mm512_loadu_ps(x), *even);
                    *odd = _mm512_fmadd_ps(high, _mm512_loadu_ps(x.add(16)), *odd);
                }
            }
            let scale = _mm512_permutexvar_ps(runs, _mm512_loadu_ps(scales.as_ptr().add(at / run)));
            for (sum, [even, odd]) in sums.iter_mut().zip(parts) {
                *sum = _mm512_fmadd_ps(_mm512_add_ps(even, odd), scale, *sum);
            }
        }
        for at in (whole..inn).step_by(STEP) {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().add(at / 2).cast()));
            let first = _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(bytes), codes);
            let second = _mm512_permutexvar_ps(bytes, codes);
            let scale = _mm512_set1_ps(scales[at / run]);
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = x.as_ptr().add(r * inn + at);
                let part = _mm512_mul_ps(first, _mm512_loadu_ps(x));
                let part = _mm512_fmadd_ps(second, _mm512_loadu_ps(x.add(16)), part);
                *sum = _mm512_fmadd_ps(part, scale, *sum);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = _mm512_reduce_add_ps(sum);
        }
    }
}

/// The scales of the blocks `first..first + count` of a doubly quantised weight, as
/// [`AbsmaxView::get`] decodes them; some more are appended that mean nothing.
///
/// # Safety
/// AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn decode_scales(
    codes: &[u8],
    absmax: &[f32],
    offset: f32,
    shift: u32,
    table: &[f32; 256],
    (first, count): (usize, usize),
    scales: &mut Vec<f32>,
) {
    scales.resize(count.next_multiple_of(16) + SPARE, 0.0);
    let mut parts_of_table = [[_mm512_setzero_ps(); 2]; 8];
    for (registers, values) in parts_of_table.iter_mut().zip(table.as_chunks::<32>().0) {
        // SAFETY: both halves of 32 values.
        *registers = unsafe { [_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16))] };
    }
    let codes = &codes[first..first + count];
    for (i, codes) in codes.chunks(16).enumerate() {
        let block = first + 16 * i;
        let mut sixteen = [0u8; 16];
        sixteen[..codes.len()].copy_from_slice(codes);
        // SAFETY: sixteen bytes, sixteen scales, and as many values of `nested`.
        unsafe {
            let nested = if block >> shift == (block + codes.len() - 1) >> shift {
                _mm512_set1_ps(absmax[block >> shift])
            } else {
                let each: [f32; 16] =
                    std::array::from_fn(|i| absmax[((block + i) >> shift).min(absmax.len() - 1)]);
                _mm512_loadu_ps(each.as_ptr())
            };
            let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(sixteen.as_ptr().cast()));
            // Two roundings, as in bitsandbytes: never a fused multiply-add.
            let product = _mm512_mul_ps(look_up(&parts_of_table, codes), nested);
            let scale = _mm512_add_ps(product, _mm512_set1_ps(offset));
            _mm512_storeu_ps(scales[16 * i..][..16].as_mut_ptr(), scale);
        }
    }
}

/// Entries of a table of 256, without a gather: in each of eight parts by the low five bits, then the part
/// by the high three.
#[inline]
#[target_feature(enable = "avx512f")]
fn look_up(table: &[[__m512; 2]; 8], places: __m512i) -> __m512 {
    let bit = |n: i32| _mm512_test_epi32_mask(places, _mm512_set1_epi32(1 << n));
    let part = |n: usize| _mm512_permutex2var_ps(table[n][0], places, table[n][1]);
    let (fives, sixes, sevens) = (bit(5), bit(6), bit(7));
    let pair = |n: usize| _mm512_mask_blend_ps(fives, part(n), part(n + 1));
    let low = _mm512_mask_blend_ps(sixes, pair(0), pair(2));
    let high = _mm512_mask_blend_ps(sixes, pair(4), pair(6));
    _mm512_mask_blend_ps(sevens, low, high)
}
