//! Panels straight from weights that are packed to 4 bits.
//!
//! Codes become values in registers, in the order the micro-kernel reads; each value is
//! `table[code] · absmax`, rounded to f32 like everywhere else.

#![allow(unsafe_code)]

use super::kernel::Word;
use super::pack_vectors::{Codes, unpack_rows, unpack_words};
use super::prefetch::prefetch;
use super::word::{F32, PAIR, ROUNDED, STEPS_AHEAD};
use crate::blockwise4::{AbsmaxView, Packed4View};
use crate::weight_rows::{Stored, WeightRows};

/// Codes that the fast path takes at a time: 8 bytes.
const UNIT: usize = 16;

/// The packed view of a weight whose rows start at whole units, and the length of the
/// aligned runs of a row that share one scale; `None` where the slow path must serve.
pub(super) fn runs<'a>(weight: WeightRows<'a>) -> Option<(Packed4View<'a>, usize)> {
    let Stored::Packed4(view) = weight.stored else { return None };
    // The largest power of two that divides both: every row starts at one.
    let run = (1 << weight.inn.trailing_zeros().min(view.block_size.trailing_zeros())).min(view.block_size);
    let end = (weight.first + weight.out) * weight.inn;
    let whole = view.packed.len() * 2 >= end && view.len >= end;
    (view.block_size.is_power_of_two() && run >= UNIT && whole).then_some((view, run))
}

/// The scales of the aligned runs of `run` values among `len` values from `start`.
pub(super) fn run_scales(
    view: &Packed4View<'_>,
    start: usize,
    len: usize,
    run: usize,
    scales: &mut Vec<f32>,
) {
    scales.clear();
    let block_shift = view.block_size.trailing_zeros();
    let block = |at: usize| at >> block_shift;
    let starts = (start..start + len).step_by(run);
    match view.absmax {
        AbsmaxView::Nested { codes, absmax, offset, block_size, table } if block_size.is_power_of_two() => {
            // As `AbsmaxView::get`, without a division for each.
            let table = table.values();
            let scale = |code: u8, nested: f32| {
                let product = table[usize::from(code)] * nested;
                product + offset
            };
            if run == view.block_size {
                // Block by block of the nested scales.
                let mut blocks = block(start)..block(start + len);
                while !blocks.is_empty() {
                    let end = ((blocks.start / block_size + 1) * block_size).min(blocks.end);
                    let nested = absmax[blocks.start / block_size];
                    scales.extend(codes[blocks.start..end].iter().map(|&code| scale(code, nested)));
                    blocks.start = end;
                }
                return;
            }
            let shift = block_size.trailing_zeros();
            scales.extend(starts.map(|at| scale(codes[block(at)], absmax[block(at) >> shift])));
        }
        absmax => scales.extend(starts.map(|at| absmax.get(block(at)))),
    }
}

/// Panels of columns that are rows of `weight`; false when the slow path must serve.
pub(super) fn weight_t_panels(
    word: Word,
    width: usize,
    weight: WeightRows<'_>,
    (k0, kc): (usize, usize),
    (j0, nc): (usize, usize),
    panels: &mut [f32],
) -> bool {
    let Some((view, run)) = runs(weight) else { return false };
    if !k0.is_multiple_of(UNIT) || !kc.is_multiple_of(UNIT) {
        return false;
    }
    assert!(k0 + kc <= weight.inn && j0 + nc <= weight.out && width.is_multiple_of(8));
    let panel_len = word.count(kc) * width;
    let unpack = match word {
        Word::F32 => unpack_rows::<F32>,
        Word::Rounded => unpack_rows::<ROUNDED>,
        Word::Pair => unpack_rows::<PAIR>,
    };
    // SAFETY: panels are packed by this module only where the vectors are.
    let codes = unsafe { Codes::new(view.code.table()) };
    for (panel, first) in panels.chunks_mut(panel_len).zip((0..nc).step_by(width)) {
        assert_eq!(panel.len(), panel_len);
        let live = width.min(nc - first);
        for group in (0..live).step_by(8) {
            let row = |i: usize| weight.first + j0 + first + (group + i).min(live - 1);
            let mut k = k0;
            while k < k0 + kc {
                let next = ((k / run + 1) * run).min(k0 + kc);
                let starts: [usize; 8] = std::array::from_fn(|i| row(i) * weight.inn + k);
                let scales = starts.map(|start| view.absmax.get(start / view.block_size));
                let rows = starts.map(|start| view.packed[start / 2..].as_ptr());
                let dst = panel[word.count(k - k0) * width + group..].as_mut_ptr();
                // SAFETY: rows k..next of the panel lie inside it, eight columns of
                // each; the packed run holds every row's bytes, as `runs` checked.
                unsafe { unpack(codes, rows, scales, (next - k) / UNIT, dst, width) };
                k = next;
            }
        }
    }
    true
}

/// Panels of columns of `weight`; false when the slow path must serve.
pub(super) fn weight_panels(
    word: Word,
    width: usize,
    weight: WeightRows<'_>,
    (k0, kc): (usize, usize),
    (j0, nc): (usize, usize),
    panels: &mut [f32],
) -> bool {
    let Some((view, run)) = runs(weight) else { return false };
    if !j0.is_multiple_of(UNIT) || !nc.is_multiple_of(UNIT) {
        return false;
    }
    assert!(k0 + kc <= weight.out && j0 + nc <= weight.inn && width.is_multiple_of(UNIT));
    let steps = word.count(kc);
    assert!(panels.len() >= nc.div_ceil(width) * steps * width);
    let unpack = match word {
        Word::F32 => unpack_words::<F32>,
        Word::Rounded => unpack_words::<ROUNDED>,
        Word::Pair => unpack_words::<PAIR>,
    };
    let each = if word == Word::Pair { 2 } else { 1 };
    // SAFETY: panels are packed by this module only where the vectors are.
    let codes = unsafe { Codes::new(view.code.table()) };
    for step in 0..steps {
        let first = (weight.first + k0 + step * each) * weight.inn;
        let second = (each == 2 && step * 2 + 1 < kc).then_some(first + weight.inn);
        for row in 0..each {
            // As in `pack_cols`.
            let later = first + (STEPS_AHEAD * each + row) * weight.inn + j0;
            prefetch(view.packed.as_ptr().wrapping_add(later / 2), nc / 2);
        }
        let mut j = j0;
        while j < j0 + nc {
            let next = ((j / run + 1) * run).min(j0 + nc);
            let scale = |start: usize| view.absmax.get((start + j) / view.block_size);
            let (scale, second) = (scale(first), second.map(|second| (second, scale(second))));
            for j in (j..next).step_by(UNIT) {
                let bytes = |start: usize| view.packed[(start + j) / 2..][..UNIT / 2].as_ptr();
                let column = j - j0;
                let at = (column / width * steps + step) * width + column % width;
                let dst = panels[at..][..UNIT].as_mut_ptr();
                let second = second.map(|(start, scale)| (bytes(start), scale));
                // SAFETY: eight bytes of each row and sixteen words were just sliced.
                unsafe { unpack(codes, (bytes(first), scale), second, dst) };
            }
            j = next;
        }
    }
    true
}
