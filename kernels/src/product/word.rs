//! What vector code that packs operands shares: words as constants, and the steps that fill no vector.

#![allow(unsafe_code)]

use super::kernel::Word;

pub(super) const F32: u8 = 0;
pub(super) const ROUNDED: u8 = 1;
pub(super) const PAIR: u8 = 2;

/// Steps between the one that is packed and the one that memory is asked for.
pub(super) const STEPS_AHEAD: usize = 8;

/// The word that `W` stands for.
pub(super) const fn word<const W: u8>() -> Word {
    match W {
        F32 => Word::F32,
        ROUNDED => Word::Rounded,
        _ => Word::Pair,
    }
}

/// The steps from `first` on of `rows` rows of `k` values, word by word, into a panel of `width` words a
/// step.
///
/// # Safety
/// `src` and `dst` hold all rows and steps.
#[inline(always)]
pub(super) unsafe fn last_steps(
    word: Word,
    src: *const f32,
    row_stride: usize,
    (rows, k): (usize, usize),
    first: usize,
    dst: *mut f32,
    width: usize,
) {
    let each = word.values();
    for step in first..word.count(k) {
        for i in 0..rows {
            let l = step * each;
            // SAFETY: row, value and word are among those promised.
            unsafe {
                let row = src.add(i * row_stride);
                let second = if each == 2 && l + 1 < k { *row.add(l + 1) } else { 0.0 };
                *dst.add(step * width + i) = word.of(*row.add(l), second);
            }
        }
    }
}
