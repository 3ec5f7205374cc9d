//! Walks over the blocks of a run, which every instruction set shares.

use std::mem::MaybeUninit;

use super::reference::{BNB_CPU_FLOOR, quantize_block};
use super::view::Scales;
use super::{Decision, Float, Packed4View, Rounding};

/// Values that vector code codes or decodes at a time: 16 packed bytes.
pub(super) const GROUP: usize = 32;

/// The longest block.
pub(super) const LONGEST: usize = 4096;

/// What the blocks of a run have in common.
pub(super) struct Run<'a> {
    pub decision: &'a Decision,
    pub block_size: usize,
    pub rounding: Rounding,
}

impl Run<'_> {
    /// Walks over the blocks; `scaled` codes the ordinary ones, whose scale is the
    /// reciprocal given to it, into half as many bytes.
    #[inline(always)]
    pub fn quantize<T: Float>(
        &self,
        values: &[T],
        packed: &mut [MaybeUninit<u8>],
        absmax: &mut [MaybeUninit<f32>],
        scaled: impl Fn(f32, &[f32], &mut [MaybeUninit<u8>]),
    ) {
        let mut buffer = [0f32; LONGEST];
        let blocks = values.chunks(self.block_size).zip(packed.chunks_mut(self.block_size / 2)).zip(absmax);
        for ((block, packed), absmax) in blocks {
            let full = block.len() == self.block_size;
            let block = T::widened(block, &mut buffer[..block.len()]);
            let largest = largest_magnitude(block);
            absmax.write(match multiplier(full, largest) {
                Some(scale) => {
                    scaled(scale, block, packed);
                    largest
                }
                None => self.quantize_rare(full, block, packed),
            });
        }
    }

    /// Degenerate and partial blocks: rare, so the plain loop serves them.
    #[cold]
    fn quantize_rare(&self, full: bool, block: &[f32], packed: &mut [MaybeUninit<u8>]) -> f32 {
        let mut codes = Vec::with_capacity(block.len());
        let absmax = quantize_block(self.decision, self.rounding, full, block, &mut codes);
        let pad = self.decision.code(0.0);
        for (byte, pair) in packed.iter_mut().zip(codes.chunks(2)) {
            byte.write(pair[0] << 4 | pair.get(1).copied().unwrap_or(pad));
        }
        absmax
    }
}

/// What to multiply an ordinary block's values with: the same under both rules.
/// `None` where they have special cases (all zero, non-finite, reciprocal
/// overflow, partial block).
#[inline(always)]
fn multiplier(full: bool, absmax: f32) -> Option<f32> {
    let ordinary = full && absmax >= BNB_CPU_FLOOR && absmax.is_finite();
    ordinary.then(|| 1.0 / absmax)
}

/// Magnitudes of floats order like the integers of their bits, NaN above all: an
/// integer maximum vectorises and lets NaN through.
#[inline(always)]
fn largest_magnitude(block: &[f32]) -> f32 {
    // Two sets of lanes, so that one maximum need not wait for the one before.
    let mut lanes = [0u32; 16];
    let (chunks, rest) = block.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane).max(value.to_bits() & 0x7fff_ffff);
        }
    }
    let rest = rest.iter().fold(0, |largest, value| u32::max(largest, value.to_bits() & 0x7fff_ffff));
    f32::from_bits(lanes.iter().fold(rest, |largest, &lane| largest.max(lane)))
}

/// Calls `f(scale, first element, place in the output)` for each block that the
/// elements `start..start + len` meet.
///
/// Scaling the sixteen codes of a block once gives the same products as scaling every element.
#[inline(always)]
pub(super) fn for_each_block(
    view: &Packed4View<'_>,
    start: usize,
    len: usize,
    mut f: impl FnMut(f32, usize, std::ops::Range<usize>),
) {
    let scales = Scales::new(&view.absmax);
    let mut block = start / view.block_size;
    let mut end = ((block + 1) * view.block_size - start).min(len);
    let mut done = 0;
    while done < len {
        f(scales.get(block), start + done, done..end);
        done = end;
        end = (end + view.block_size).min(len);
        block += 1;
    }
}

/// Looks up elements that share a scale, the first of them `first`.
pub(super) fn decode<T: Copy>(book: &[T; 16], packed: &[u8], first: usize, out: &mut [MaybeUninit<T>]) {
    if out.is_empty() {
        return;
    }
    // A range that starts at a low nibble takes that one alone.
    let lead = first % 2;
    if lead == 1 {
        out[0].write(book[usize::from(packed[first / 2] & 15)]);
    }
    let out = &mut out[lead..];
    let bytes = &packed[first.div_ceil(2)..][..out.len().div_ceil(2)];
    let mut pairs = out.chunks_exact_mut(2);
    for (pair, &byte) in pairs.by_ref().zip(bytes) {
        pair[0].write(book[usize::from(byte >> 4)]);
        pair[1].write(book[usize::from(byte & 15)]);
    }
    if let ([last], Some(byte)) = (pairs.into_remainder(), bytes.last()) {
        last.write(book[usize::from(byte >> 4)]);
    }
}

/// The part of a block that goes by whole groups: whether that is all of it, its packed
/// bytes, its output.
#[inline(always)]
#[allow(clippy::type_complexity)] // names would say less than the line above
pub(super) fn groups<'p, 'o, T>(
    packed: &'p [u8],
    first: usize,
    out: &'o mut [MaybeUninit<T>],
) -> (bool, &'p [[u8; GROUP / 2]], &'o mut [[MaybeUninit<T>; GROUP]]) {
    let groups = if first.is_multiple_of(2) { out.len() / GROUP } else { 0 };
    let bytes = packed[first / 2..][..groups * GROUP / 2].as_chunks().0;
    (groups * GROUP == out.len(), bytes, out[..groups * GROUP].as_chunks_mut().0)
}

/// What [`groups`] left of a block.
#[cold]
pub(super) fn decode_rest<T: Copy>(book: &[T; 16], packed: &[u8], first: usize, out: &mut [MaybeUninit<T>]) {
    let done = if first.is_multiple_of(2) { out.len() / GROUP * GROUP } else { 0 };
    decode(book, packed, first + done, &mut out[done..]);
}
