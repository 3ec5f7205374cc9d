//! Borrowed packed tensors and how they are read.

use super::{Code4, Float};
use crate::blockwise8::Table8;
use crate::fresh::overwritten;
use crate::isa::Isa;

/// The scales of a packed tensor, as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum AbsmaxView<'a> {
    /// One f32 per block.
    Plain(&'a [f32]),
    /// Double quantisation: one 8-bit code per block.
    Nested {
        /// One code per block.
        codes: &'a [u8],
        /// One scale per `block_size` codes.
        absmax: &'a [f32],
        /// Added to every decoded scale: the mean of the original ones.
        offset: f32,
        /// Codes per nested scale (256 in bitsandbytes).
        block_size: usize,
        /// What the codes stand for.
        table: Table8,
    },
}

impl AbsmaxView<'_> {
    /// The scale of one block.
    ///
    /// # Panics
    /// If `block` is out of range.
    #[inline]
    pub fn get(&self, block: usize) -> f32 {
        match *self {
            AbsmaxView::Plain(absmax) => absmax[block],
            AbsmaxView::Nested { codes, absmax, offset, block_size, table } => {
                // Two roundings, as in bitsandbytes: never a fused multiply-add.
                let product = table.values()[usize::from(codes[block])] * absmax[block / block_size];
                product + offset
            }
        }
    }

    /// Number of blocks described.
    pub fn len(&self) -> usize {
        match self {
            AbsmaxView::Plain(absmax) => absmax.len(),
            AbsmaxView::Nested { codes, .. } => codes.len(),
        }
    }

    /// Whether no block is described.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A packed 4-bit tensor, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Packed4View<'a> {
    /// The code book.
    pub code: Code4,
    /// Values per scale.
    pub block_size: usize,
    /// `(len + 1) / 2` bytes, first code in the high nibble.
    pub packed: &'a [u8],
    /// One scale per block.
    pub absmax: AbsmaxView<'a>,
    /// Number of values.
    pub len: usize,
}

impl Packed4View<'_> {
    /// Dequantises the flat elements `start..start + out.len()` on this thread.
    ///
    /// Any range is right; ranges that start at an even element take the fast path.
    /// Each element is `table[code] * absmax`, rounded once to f32, and for 16-bit outputs
    /// once more (to nearest, ties to even).
    ///
    /// # Panics
    /// If the range ends beyond `len`, or the view's slices are too short for it.
    pub fn dequantize_range<T: Float>(&self, start: usize, out: &mut [T]) {
        assert!(
            start + out.len() <= self.len,
            "elements {start}..{} of a packed tensor of {}",
            start + out.len(),
            self.len
        );
        T::dequantize_range(Isa::active(), self, start, overwritten(out));
    }
}

/// The scales of a view with what reading one of them needs at hand.
pub(super) enum Scales<'a> {
    Plain(&'a [f32]),
    Nested {
        table: &'static [f32; 256],
        codes: &'a [u8],
        absmax: &'a [f32],
        offset: f32,
        /// The nested block size is 2 to this power, as a rule; a shift is quicker than a division.
        shift: Option<u32>,
        block_size: usize,
    },
}

impl<'a> Scales<'a> {
    pub fn new(view: &AbsmaxView<'a>) -> Self {
        match *view {
            AbsmaxView::Plain(absmax) => Scales::Plain(absmax),
            AbsmaxView::Nested { codes, absmax, offset, block_size, table } => Scales::Nested {
                table: table.values(),
                codes,
                absmax,
                offset,
                shift: block_size.is_power_of_two().then(|| block_size.trailing_zeros()),
                block_size,
            },
        }
    }

    /// As [`AbsmaxView::get`].
    #[inline(always)]
    pub fn get(&self, block: usize) -> f32 {
        match *self {
            Scales::Plain(absmax) => absmax[block],
            Scales::Nested { table, codes, absmax, offset, shift, block_size } => {
                let nested = match shift {
                    Some(shift) => block >> shift,
                    None => block / block_size,
                };
                // Two roundings, as in bitsandbytes: never a fused multiply-add.
                let product = table[usize::from(codes[block])] * absmax[nested];
                product + offset
            }
        }
    }
}
