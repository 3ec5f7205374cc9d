//! The product with a stored weight whose rows know nothing of each other.
//!
//! A tile of input rows meets a tile of weight rows, both read along `k` where they lie. Each element
//! is a sum in lanes over `k` in order and then over the lanes in one fixed way, whatever the tile's
//! size: the same bits for any number of input rows. A single row reads the weight once, at the speed
//! of memory; many find it in the cache.

#![allow(unsafe_code)]
// Loops over the places of a tile are what the compiler turns into registers.
#![allow(clippy::needless_range_loop)]

use rayon::prelude::*;

use super::blocks::Destination;
use super::buffer::Buffer;
use crate::isa::Isa;
use crate::values::Values;
use crate::weight_rows::{Stored, WeightRows};

/// Weight rows of one task, a multiple of every tile.
const ROWS_EACH: usize = 48;

/// Values of the input rows that are gone over for each tile of weight rows: 512 KiB.
const INPUT_BLOCK: usize = 128 << 10;

/// What a tile computes: element `(i, j)` of `y` is row `i` of `x` times row `j` of `w`. Rows of both are
/// `k` long and follow each other.
#[derive(Clone, Copy)]
struct Task {
    k: usize,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    y_row: usize,
}

type Tile = unsafe fn(Task);

/// The tiles of one instruction set.
struct Tiles {
    /// Weight rows of a whole tile.
    columns: usize,
    /// Whole tiles by their number of input rows less one.
    whole: &'static [Tile],
    /// The same for a single weight row.
    narrow: &'static [Tile],
}

impl Tiles {
    fn active() -> Self {
        match Isa::active() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => Self {
                columns: 8,
                whole: &[avx512::tile::<1, 8>, avx512::tile::<2, 8>, avx512::tile::<3, 8>],
                narrow: &[avx512::tile::<1, 1>, avx512::tile::<2, 1>, avx512::tile::<3, 1>],
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self {
                columns: 4,
                whole: &[avx2::tile::<1, 4>, avx2::tile::<2, 4>, avx2::tile::<3, 4>],
                narrow: &[avx2::tile::<1, 1>, avx2::tile::<2, 1>, avx2::tile::<3, 1>],
            },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self {
                columns: 4,
                whole: &[neon::tile::<1, 4>, neon::tile::<2, 4>, neon::tile::<3, 4>],
                narrow: &[neon::tile::<1, 1>, neon::tile::<2, 1>, neon::tile::<3, 1>],
            },
            _ => Self {
                columns: 4,
                whole: &[portable::<1, 4>, portable::<2, 4>],
                narrow: &[portable::<1, 1>, portable::<2, 1>],
            },
        }
    }
}

/// `y[m, out] = x[m, in] · Wᵀ`.
pub(super) fn project(weight: WeightRows<'_>, x: &[f32], m: usize) -> Values {
    let (out, inn) = (weight.out, weight.inn);
    assert_eq!(x.len(), m * inn, "rows of the input");
    let mut y = Values::unset(m * out);
    if m == 0 || out == 0 || inn == 0 {
        y.fill(0.0);
        return y;
    }
    let tiles = Tiles::active();
    let to = Destination { data: y.as_mut_ptr(), stride: out };
    (0..out.div_ceil(ROWS_EACH)).into_par_iter().for_each(|chunk| {
        // The whole struct, which may be sent, rather than its pointer.
        let to: &Destination = &to;
        let first = chunk * ROWS_EACH;
        let rows = ROWS_EACH.min(out - first);
        let mut widened = match weight.stored {
            Stored::F32(_) => None,
            _ => Some(Buffer::take(tiles.columns * inn)),
        };
        let block = (INPUT_BLOCK / inn).max(tiles.whole.len());
        for at in (0..m).step_by(block) {
            let mut row = first;
            while row < first + rows {
                let left = first + rows - row;
                let (by_rows, count) =
                    if left >= tiles.columns { (tiles.whole, tiles.columns) } else { (tiles.narrow, 1) };
                let w: &[f32] = match (&mut widened, weight.stored) {
                    (None, Stored::F32(values)) => &values[(weight.first + row) * inn..][..count * inn],
                    (widened, _) => {
                        let buffer =
                            widened.as_mut().map_or(&mut [][..], |buffer| &mut buffer[..count * inn]);
                        weight.widen_here(row, buffer);
                        buffer
                    }
                };
                assert_eq!(w.len(), count * inn, "whole rows of the weight");
                let end = m.min(at + block);
                let mut i = at;
                while i < end {
                    let n = tiles.whole.len().min(end - i);
                    let x = &x[i * inn..(i + n) * inn];
                    let task = Task {
                        k: inn,
                        x: x.as_ptr(),
                        w: w.as_ptr(),
                        y: to.data.wrapping_add(i * to.stride + row),
                        y_row: to.stride,
                    };
                    // SAFETY: `x` and `w` hold `n` and `count` rows of `inn` values; rows `i..i + n` and
                    // columns `row..row + count` lie inside `y`, and no other task writes these columns.
                    // The tiles are those of an instruction set that this processor has.
                    unsafe { by_rows[n - 1](task) };
                    i += n;
                }
                row += count;
            }
        }
    });
    y
}

/// See [`Task`]; sums in sixteen lanes.
///
/// # Safety
/// Every address that the task names is inside a live allocation; those of `y` are exclusively the
/// caller's.
unsafe fn portable<const R: usize, const C: usize>(task: Task) {
    use crate::lanes::{LANES, add_lanes};

    let Task { k, x, w, y, y_row } = task;
    for i in 0..R {
        for j in 0..C {
            // SAFETY: the caller's promise covers both rows and the element.
            unsafe {
                let x = std::slice::from_raw_parts(x.add(i * k), k);
                let w = std::slice::from_raw_parts(w.add(j * k), k);
                let mut sums = [0f32; LANES];
                for (x, w) in x.chunks(LANES).zip(w.chunks(LANES)) {
                    for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
                        *sum += x * w;
                    }
                }
                *y.add(i * y_row + j) = add_lanes(sums);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::Task;

    const LANES: usize = 16;

    /// See [`Task`].
    ///
    /// # Safety
    /// The processor has AVX-512 F, and every address that the task names is inside a live allocation;
    /// those of `y` are exclusively the caller's.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn tile<const R: usize, const C: usize>(task: Task) {
        let Task { k, x, w, y, y_row } = task;
        // SAFETY: the caller's promise covers every address formed here; masked elements are not read.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); C]; R];
            let whole = k / LANES * LANES;
            for l in (0..whole).step_by(LANES) {
                let mut xs = [_mm512_setzero_ps(); R];
                for (i, xs) in xs.iter_mut().enumerate() {
                    *xs = _mm512_loadu_ps(x.add(i * k + l));
                }
                for j in 0..C {
                    let w = _mm512_loadu_ps(w.add(j * k + l));
                    for i in 0..R {
                        sums[i][j] = _mm512_fmadd_ps(xs[i], w, sums[i][j]);
                    }
                }
            }
            if whole < k {
                let mask = (1u16 << (k - whole)) - 1;
                for j in 0..C {
                    let w = _mm512_maskz_loadu_ps(mask, w.add(j * k + whole));
                    for i in 0..R {
                        let x = _mm512_maskz_loadu_ps(mask, x.add(i * k + whole));
                        sums[i][j] = _mm512_fmadd_ps(x, w, sums[i][j]);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for j in (0..C).step_by(4) {
                    let zero = _mm512_setzero_ps();
                    let of = |j: usize| if j < C { sums[j] } else { zero };
                    let four = add_lanes(of(j), of(j + 1), of(j + 2), of(j + 3));
                    let to = y.add(i * y_row + j);
                    if j + 4 <= C {
                        _mm_storeu_ps(to, four);
                    } else {
                        let mut values = [0f32; 4];
                        _mm_storeu_ps(values.as_mut_ptr(), four);
                        for (at, value) in values[..C - j].iter().enumerate() {
                            *to.add(at) = *value;
                        }
                    }
                }
            }
        }
    }

    /// The lanes of four vectors added up, each in the same order.
    #[target_feature(enable = "avx512f")]
    fn add_lanes(a: __m512, b: __m512, c: __m512, d: __m512) -> __m128 {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        let quarters = _mm512_add_ps(low, high);
        let halves = _mm512_add_ps(quarters, _mm512_shuffle_f32x4::<0b01_00_11_10>(quarters, quarters));
        let first = _mm512_castps512_ps128(halves);
        let second = _mm512_castps512_ps128(_mm512_shuffle_f32x4::<0b01>(halves, halves));
        _mm_add_ps(first, second)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Task;

    const LANES: usize = 8;

    /// See [`Task`].
    ///
    /// # Safety
    /// The processor has AVX2 and FMA, and every address that the task names is inside a live
    /// allocation; those of `y` are exclusively the caller's.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn tile<const R: usize, const C: usize>(task: Task) {
        let Task { k, x, w, y, y_row } = task;
        // SAFETY: the caller's promise covers every address formed here; masked elements are not read.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); C]; R];
            let whole = k / LANES * LANES;
            for l in (0..whole).step_by(LANES) {
                let mut xs = [_mm256_setzero_ps(); R];
                for (i, xs) in xs.iter_mut().enumerate() {
                    *xs = _mm256_loadu_ps(x.add(i * k + l));
                }
                for j in 0..C {
                    let w = _mm256_loadu_ps(w.add(j * k + l));
                    for i in 0..R {
                        sums[i][j] = _mm256_fmadd_ps(xs[i], w, sums[i][j]);
                    }
                }
            }
            if whole < k {
                let left = _mm256_set1_epi32((k - whole) as i32);
                let mask = _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
                for j in 0..C {
                    let w = _mm256_maskload_ps(w.add(j * k + whole), mask);
                    for i in 0..R {
                        let x = _mm256_maskload_ps(x.add(i * k + whole), mask);
                        sums[i][j] = _mm256_fmadd_ps(x, w, sums[i][j]);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let zero = _mm256_setzero_ps();
                let of = |j: usize| if j < C { sums[j] } else { zero };
                let four = add_lanes(of(0), of(1), of(2), of(3));
                let mut values = [0f32; 4];
                _mm_storeu_ps(values.as_mut_ptr(), four);
                for (j, value) in values[..C].iter().enumerate() {
                    *y.add(i * y_row + j) = *value;
                }
            }
        }
    }

    /// The lanes of four vectors added up, each in the same order.
    #[target_feature(enable = "avx2,fma")]
    fn add_lanes(a: __m256, b: __m256, c: __m256, d: __m256) -> __m128 {
        let ab = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
        let cd = _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
        let low = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
        let high = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
        let halves = _mm256_add_ps(low, high);
        _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves))
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::Task;

    /// Values of a row at a time: two vectors, so that one sum need not wait for the one before.
    const STEP: usize = 8;

    /// See [`Task`].
    ///
    /// # Safety
    /// Every address that the task names is inside a live allocation; those of `y` are exclusively the
    /// caller's.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn tile<const R: usize, const C: usize>(task: Task) {
        let Task { k, x, w, y, y_row } = task;
        let whole = k / STEP * STEP;
        let mut sums = [[[vdupq_n_f32(0.0); 2]; C]; R];
        // SAFETY: the caller's promise covers every address formed here; beyond the rows' ends nothing is
        // read but the filled-up copies.
        unsafe {
            for l in (0..whole).step_by(STEP) {
                add(&mut sums, |i| x.add(i * k + l), |j| w.add(j * k + l));
            }
            if whole < k {
                let filled = |from: *const f32| {
                    let mut values = [0f32; STEP];
                    values[..k - whole].copy_from_slice(std::slice::from_raw_parts(from, k - whole));
                    values
                };
                let xs: [_; R] = std::array::from_fn(|i| filled(x.add(i * k + whole)));
                let ws: [_; C] = std::array::from_fn(|j| filled(w.add(j * k + whole)));
                add(&mut sums, |i| xs[i].as_ptr(), |j| ws[j].as_ptr());
            }
            for (i, sums) in sums.iter().enumerate() {
                for (j, [first, second]) in sums.iter().enumerate() {
                    *y.add(i * y_row + j) = vaddvq_f32(vaddq_f32(*first, *second));
                }
            }
        }
    }

    /// Multiplies a step of each row of `x` with one of each row of `w`.
    ///
    /// # Safety
    /// [`STEP`] values are readable at every address.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add<const R: usize, const C: usize>(
        sums: &mut [[[float32x4_t; 2]; C]; R],
        x: impl Fn(usize) -> *const f32,
        w: impl Fn(usize) -> *const f32,
    ) {
        for half in 0..2 {
            // SAFETY: as promised above.
            unsafe {
                let xs: [_; R] = std::array::from_fn(|i| vld1q_f32(x(i).add(4 * half)));
                for j in 0..C {
                    let w = vld1q_f32(w(j).add(4 * half));
                    for i in 0..R {
                        sums[i][j][half] = vfmaq_f32(sums[i][j][half], xs[i], w);
                    }
                }
            }
        }
    }
}
