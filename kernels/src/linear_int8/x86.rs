//! Tiles of 32 weight rows and a few rows of `x`, by the instructions of x86-64.
//!
//! A vector holds four values of each of its weight rows; the same four of a row of `x` are broadcast
//! against it. The sums of a block are integers and thus the same in any order; what is rounded, the
//! sum of blocks, runs as in [`portable`](super::portable).

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::spec::{GROUP, INT8_BLOCK, PANEL, SCALES_BYTES};
use super::task::TileTask;
use super::unit::Unit;

/// Rows of `x` in a tile: as many as leave all sums in registers.
pub(super) const ROWS_512: usize = 6;
pub(super) const ROWS_256: usize = 4;

/// Tiles of up to so many rows wait for the weight: it is asked for ahead of use, by so many bytes.
const STREAMED: usize = 4;
const AHEAD: usize = 2048;

/// Bytes of a group: four values of every row of the panel.
const GROUP_BYTES: usize = PANEL * GROUP;

/// Groups of a block.
const GROUPS: usize = INT8_BLOCK / GROUP;

/// # Safety
/// The processor has the instructions of `unit`, which is not the portable one; slices as
/// [`Unit::tile`] checks them.
pub(super) unsafe fn tile(unit: Unit, task: &TileTask<'_>, out: &mut [f32]) {
    // SAFETY: handed on.
    unsafe {
        match (unit, task.layout.nibbles, task.layout.minima) {
            (Unit::Avx512Vnni, false, false) => rows_512::<false, false>(task, out),
            (Unit::Avx512Vnni, false, true) => rows_512::<false, true>(task, out),
            (Unit::Avx512Vnni, true, false) => rows_512::<true, false>(task, out),
            (Unit::Avx512Vnni, true, true) => rows_512::<true, true>(task, out),
            (Unit::AvxVnni, _, _) => rows_vnni(task, out),
            _ => rows_maddubs(task, out),
        }
    }
}

/// # Safety
/// As [`tile`], for AVX-512 VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows_512<const NIBBLES: bool, const MINIMA: bool>(task: &TileTask<'_>, out: &mut [f32]) {
    // SAFETY: handed on.
    unsafe {
        match task.rows {
            1 => tile_512::<1, NIBBLES, MINIMA>(task, out),
            2 => tile_512::<2, NIBBLES, MINIMA>(task, out),
            3 => tile_512::<3, NIBBLES, MINIMA>(task, out),
            4 => tile_512::<4, NIBBLES, MINIMA>(task, out),
            5 => tile_512::<5, NIBBLES, MINIMA>(task, out),
            _ => tile_512::<6, NIBBLES, MINIMA>(task, out),
        }
    }
}

/// # Safety
/// As [`tile`], for AVX-512 VNNI and `R` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile_512<const R: usize, const NIBBLES: bool, const MINIMA: bool>(
    task: &TileTask<'_>,
    out: &mut [f32],
) {
    let (blocks, inn) = (task.blocks, task.blocks * INT8_BLOCK);
    let (codes_at, block_bytes) = (task.layout.codes_at(), task.layout.block_bytes());
    // SAFETY: the panel holds `blocks` blocks, `x` and the statistics `R` rows of as many.
    unsafe {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(task.table.as_ptr().cast()));
        let low = _mm512_set1_epi8(15);
        let mut y = [[_mm512_setzero_ps(); 2]; R];
        for block in 0..blocks {
            let bytes = task.panel.as_ptr().add(block * block_bytes);
            let codes = bytes.add(codes_at);
            let x = task.x.as_ptr().add(block).cast::<i8>();
            if R <= STREAMED {
                for line in (0..block_bytes).step_by(64) {
                    // May lie beyond the weight: a prefetch reads nothing.
                    _mm_prefetch::<_MM_HINT_T0>(bytes.wrapping_add(AHEAD + line).cast());
                }
            }
            let mut sums = [[_mm512_setzero_si512(); 2]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = [_mm512_set1_epi32((*task.stats.as_ptr().add(r * blocks + block)).start); 2];
            }
            if NIBBLES {
                for group in 0..GROUPS / 2 {
                    let at = codes.add(group * GROUP_BYTES);
                    let pair = [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(64).cast())];
                    let first = pair.map(|codes| _mm512_shuffle_epi8(table, _mm512_and_si512(codes, low)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = broadcast_512(x.add(r * inn + group * GROUP));
                        for (sum, weights) in sums.iter_mut().zip(first) {
                            *sum = _mm512_dpbusd_epi32(*sum, weights, x);
                        }
                    }
                    let second = pair.map(|codes| {
                        let codes = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low);
                        _mm512_shuffle_epi8(table, codes)
                    });
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = broadcast_512(x.add(r * inn + (group + GROUPS / 2) * GROUP));
                        for (sum, weights) in sums.iter_mut().zip(second) {
                            *sum = _mm512_dpbusd_epi32(*sum, weights, x);
                        }
                    }
                }
            } else {
                for group in 0..GROUPS {
                    let at = codes.add(group * GROUP_BYTES);
                    let weights = [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(64).cast())];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = broadcast_512(x.add(r * inn + group * GROUP));
                        for (sum, weights) in sums.iter_mut().zip(weights) {
                            *sum = _mm512_dpbusd_epi32(*sum, weights, x);
                        }
                    }
                }
            }
            let halves = |at: *const u8| {
                [
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
                ]
            };
            let scales = halves(bytes);
            for (r, (y, sums)) in y.iter_mut().zip(sums).enumerate() {
                let scale = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).scale);
                for ((y, sum), scales) in y.iter_mut().zip(sums).zip(scales) {
                    *y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scales, scale), *y);
                }
            }
            if MINIMA {
                let minima = halves(bytes.add(SCALES_BYTES));
                for (r, y) in y.iter_mut().enumerate() {
                    let sum = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).sum);
                    for (y, minima) in y.iter_mut().zip(minima) {
                        *y = _mm512_fmadd_ps(minima, sum, *y);
                    }
                }
            }
        }
        for (r, [first, second]) in y.into_iter().enumerate() {
            let out = out.as_mut_ptr().add(r * PANEL);
            _mm512_storeu_ps(out, first);
            _mm512_storeu_ps(out.add(16), second);
        }
    }
}

/// Four bytes of a row of `x` in every lane.
///
/// # Safety
/// Four bytes to read; AVX-512 F.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn broadcast_512(x: *const i8) -> __m512i {
    // SAFETY: as promised.
    _mm512_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}

/// # Safety
/// As [`tile`], for AVX-VNNI.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn rows_vnni(task: &TileTask<'_>, out: &mut [f32]) {
    let add = |sum, weights, x| _mm256_dpbusd_avx_epi32(sum, weights, x);
    // SAFETY: handed on.
    unsafe {
        match task.rows {
            1 => tile_256::<1, false>(task, out, add),
            2 => tile_256::<2, false>(task, out, add),
            3 => tile_256::<3, false>(task, out, add),
            _ => tile_256::<4, false>(task, out, add),
        }
    }
}

/// # Safety
/// As [`tile`], for AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows_maddubs(task: &TileTask<'_>, out: &mut [f32]) {
    // Pairs are added in 16 bits: magnitudes up to 128 times 127 fit twice, an unsigned 255 does
    // not. So the weight's sign goes over to `x`, which is never −128.
    let add = |sum, weights, x| {
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    };
    // SAFETY: handed on.
    unsafe {
        match task.rows {
            1 => tile_256::<1, true>(task, out, add),
            2 => tile_256::<2, true>(task, out, add),
            3 => tile_256::<3, true>(task, out, add),
            _ => tile_256::<4, true>(task, out, add),
        }
    }
}

/// Eight rows of the panel after the other. `SIGNED`: `add` takes weights with their sign, and sums
/// start at zero.
///
/// # Safety
/// As [`tile`], for `R` rows; compiled into functions that have AVX2, FMA, F16C and what `add` needs.
#[inline(always)]
unsafe fn tile_256<const R: usize, const SIGNED: bool>(
    task: &TileTask<'_>,
    out: &mut [f32],
    add: impl Fn(__m256i, __m256i, __m256i) -> __m256i,
) {
    let (blocks, inn) = (task.blocks, task.blocks * INT8_BLOCK);
    let (nibbles, minima) = (task.layout.nibbles, task.layout.minima);
    let (codes_at, block_bytes) = (task.layout.codes_at(), task.layout.block_bytes());
    // SAFETY: the panel holds `blocks` blocks, `x` and the statistics `R` rows of as many.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(task.table.as_ptr().cast()));
        let (low, offset) = (_mm256_set1_epi8(15), _mm256_set1_epi8(i8::MIN));
        for eighth in (0..PANEL).step_by(8) {
            let mut y = [_mm256_setzero_ps(); R];
            for block in 0..blocks {
                let bytes = task.panel.as_ptr().add(block * block_bytes);
                let codes = bytes.add(codes_at + eighth * GROUP);
                let x = task.x.as_ptr().add(block).cast::<i8>();
                let mut sums = [_mm256_setzero_si256(); R];
                if !SIGNED {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_set1_epi32((*task.stats.as_ptr().add(r * blocks + block)).start);
                    }
                }
                for group in 0..GROUPS {
                    let mut weights = if nibbles {
                        let at = codes.add(group % (GROUPS / 2) * GROUP_BYTES);
                        let bytes = _mm256_loadu_si256(at.cast());
                        let bytes = if group < GROUPS / 2 { bytes } else { _mm256_srli_epi16::<4>(bytes) };
                        _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, low))
                    } else {
                        _mm256_loadu_si256(codes.add(group * GROUP_BYTES).cast())
                    };
                    if SIGNED {
                        weights = _mm256_xor_si256(weights, offset);
                    }
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let x = x.add(r * inn + group * GROUP).cast::<i32>().read_unaligned();
                        *sum = add(*sum, weights, _mm256_set1_epi32(x));
                    }
                }
                let halves = |at: *const u8| {
                    _mm256_cvtph_ps(_mm_loadu_si128(at.add(eighth * size_of::<u16>()).cast()))
                };
                let scales = halves(bytes);
                for (r, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
                    let scale = _mm256_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).scale);
                    *y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scales, scale), *y);
                }
                if minima {
                    let minima = halves(bytes.add(SCALES_BYTES));
                    for (r, y) in y.iter_mut().enumerate() {
                        let sum = _mm256_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).sum);
                        *y = _mm256_fmadd_ps(minima, sum, *y);
                    }
                }
            }
            for (r, y) in y.into_iter().enumerate() {
                _mm256_storeu_ps(out.as_mut_ptr().add(r * PANEL + eighth), y);
            }
        }
    }
}

/// The values of a block's 4-bit codes, in the order of a block of bytes.
///
/// # Safety
/// AVX2; `codes` is half as long as `out`, a multiple of 32.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn expand(codes: &[u8], table: &[u8; 16], out: &mut [u8]) {
    // SAFETY: the low nibbles of `codes` are the first half of `out`, the high ones the second.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        let low = _mm256_set1_epi8(15);
        for at in (0..codes.len()).step_by(32) {
            let bytes = _mm256_loadu_si256(codes.as_ptr().add(at).cast());
            let first = _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, low));
            let second = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
            let second = _mm256_shuffle_epi8(table, second);
            _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), first);
            _mm256_storeu_si256(out.as_mut_ptr().add(codes.len() + at).cast(), second);
        }
    }
}
