//! Panels straight from weights that are packed to 4 bits.
//!
//! Codes become values in registers, in the order the micro-kernel reads; each value is
//! `table[code] · absmax`, rounded to f32 like everywhere else.

#![allow(unsafe_code)]

use super::kernel::{Kernel, Packer, Word};
#[cfg(target_arch = "x86_64")]
use super::pack_avx512 as avx512;
use super::pack_vectors as vectors;
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
        AbsmaxView::Plain(absmax) if run == view.block_size => {
            scales.extend_from_slice(&absmax[block(start)..block(start + len)]);
        }
        absmax => scales.extend(starts.map(|at| absmax.get(block(at)))),
    }
}

/// Panels of columns that are rows of `weight`; false when the slow path must serve.
pub(super) fn weight_t_panels(
    kernel: &Kernel,
    weight: WeightRows<'_>,
    (k0, kc): (usize, usize),
    (j0, nc): (usize, usize),
    panels: &mut [f32],
) -> bool {
    let Some((view, run)) = runs(weight) else { return false };
    if kernel.packer == Packer::Portable || !k0.is_multiple_of(UNIT) || !kc.is_multiple_of(UNIT) {
        return false;
    }
    let (word, width) = (kernel.word, kernel.columns());
    assert!(k0 + kc <= weight.inn && j0 + nc <= weight.out && width.is_multiple_of(16));
    let panel_len = word.count(kc) * width;
    let unpack = match word {
        Word::F32 => vectors::unpack_rows::<F32>,
        Word::Rounded => vectors::unpack_rows::<ROUNDED>,
        Word::Pair | Word::RegisterPair => vectors::unpack_rows::<PAIR>,
    };
    let table = view.code.table();
    for (panel, first) in panels.chunks_mut(panel_len).zip((0..nc).step_by(width)) {
        assert_eq!(panel.len(), panel_len);
        // Words that fill the last registers.
        panel[kc.div_ceil(word.values()) * width..].fill(0.0);
        let rows = (weight.first + j0 + first, width.min(nc - first));
        let at = |k: usize, column: usize| (k - k0) / word.values() * width + column;
        // SAFETY of both: the kernel says which instructions are there; the steps of the run lie inside
        // the panel, whose width is whole vectors, and the packed run holds every row's bytes, as `runs`
        // checked.
        #[cfg(target_arch = "x86_64")]
        if kernel.packer == Packer::Avx512 {
            let codes = unsafe { avx512::Codes::new(table) };
            each_run(weight, view, run, rows, (k0, kc), |column, k, units, rows, scales| {
                let dst = panel[at(k, column)..].as_mut_ptr();
                unsafe { avx512::unpack_rows(codes, rows, scales, units, dst, width) };
            });
            continue;
        }
        let codes = unsafe { vectors::Codes::new(table) };
        each_run(weight, view, run, rows, (k0, kc), |column, k, units, rows, scales| {
            let dst = panel[at(k, column)..].as_mut_ptr();
            unsafe { unpack(codes, rows, scales, units, dst, width) };
        });
    }
    true
}

/// Walks `live` rows from `first`, `N` at a time, and `kc` of their values from `k0`, run by run: for each
/// the rows' place among `live`, the run's first value and length in [`UNIT`]s, and every row's bytes and
/// scale. Rows beyond the last one are the last one again.
fn each_run<const N: usize>(
    weight: WeightRows<'_>,
    view: Packed4View<'_>,
    run: usize,
    (first, live): (usize, usize),
    (k0, kc): (usize, usize),
    mut unpack: impl FnMut(usize, usize, usize, [*const u8; N], [f32; N]),
) {
    for group in (0..live).step_by(N) {
        let row = |i: usize| first + (group + i).min(live - 1);
        let mut k = k0;
        while k < k0 + kc {
            let next = ((k / run + 1) * run).min(k0 + kc);
            let starts: [usize; N] = std::array::from_fn(|i| row(i) * weight.inn + k);
            let scales = starts.map(|start| view.absmax.get(start / view.block_size));
            let rows = starts.map(|start| view.packed[start / 2..].as_ptr());
            unpack(group, k, (next - k) / UNIT, rows, scales);
            k = next;
        }
    }
}

/// Panels of columns of `weight`; false when the slow path must serve.
pub(super) fn weight_panels(
    kernel: &Kernel,
    weight: WeightRows<'_>,
    (k0, kc): (usize, usize),
    (j0, nc): (usize, usize),
    panels: &mut [f32],
) -> bool {
    let Some((view, run)) = runs(weight) else { return false };
    if kernel.packer == Packer::Portable || !j0.is_multiple_of(UNIT) || !nc.is_multiple_of(UNIT) {
        return false;
    }
    let (word, width) = (kernel.word, kernel.columns());
    assert!(k0 + kc <= weight.out && j0 + nc <= weight.inn && width.is_multiple_of(UNIT));
    let steps = word.count(kc);
    assert!(panels.len() >= nc.div_ceil(width) * steps * width);
    let unpack = match word {
        Word::F32 => vectors::unpack_words::<F32>,
        Word::Rounded => vectors::unpack_words::<ROUNDED>,
        Word::Pair | Word::RegisterPair => vectors::unpack_words::<PAIR>,
    };
    let each = word.values();
    // Words that fill the last registers.
    for panel in panels[..nc.div_ceil(width) * steps * width].chunks_mut(steps * width) {
        panel[kc.div_ceil(each) * width..].fill(0.0);
    }
    let table = view.code.table();
    // SAFETY: the kernel says which instructions are there.
    let codes = unsafe { vectors::Codes::new(table) };
    // SAFETY: as above.
    #[cfg(target_arch = "x86_64")]
    let wide = (kernel.packer == Packer::Avx512).then(|| unsafe { avx512::Codes::new(table) });
    for step in 0..kc.div_ceil(each) {
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
                let first = (bytes(first), scale);
                // SAFETY: eight bytes of each row and sixteen words were just sliced.
                unsafe {
                    #[cfg(target_arch = "x86_64")]
                    if let Some(codes) = wide {
                        avx512::unpack_words(codes, first, second, dst);
                        continue;
                    }
                    unpack(codes, first, second, dst);
                }
            }
            j = next;
        }
    }
    true
}
