//! The micro-kernels of this machine: tiles of the destination held in registers.

use std::fmt;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
use super::tile::Tile;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::isa::Isa;

/// How the operands of a product are rounded before they are multiplied; sums run in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputeType {
    /// Operands as they are.
    #[default]
    F32,
    /// Both operands rounded to bfloat16, to nearest even.
    ///
    /// With AVX-512 BF16 the products run on the dot-product instruction, which takes
    /// denormal numbers for zero; elsewhere the rounded values are multiplied in f32.
    /// Every machine gives the same numbers up to that and the order of sums.
    Bf16,
    /// Operands as they are, and a row of the result is the same bits whatever rows are computed
    /// with it: alone, in a batch, anywhere in it (He and Thinking Machines Lab 2025 call that
    /// batch-invariant). [`ComputeType::F32`] sums a few rows in another order than many.
    ///
    /// For inference: on the CPU alone, and a backward pass is that of [`ComputeType::F32`].
    BatchInvariant,
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ComputeType::F32 => "f32",
            ComputeType::Bf16 => "bf16",
            ComputeType::BatchInvariant => "f32, batch-invariant",
        })
    }
}

/// What one 32-bit word of a packed operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// One f32.
    F32,
    /// One f32 that was rounded to bfloat16.
    Rounded,
    /// Two bfloat16 that follow each other along `k`, the first in the low half.
    Pair,
}

impl Word {
    /// Words that `k` values take.
    pub fn count(self, k: usize) -> usize {
        if self == Word::Pair { k.div_ceil(2) } else { k }
    }

    /// The word of one value, or of two for [`Word::Pair`].
    pub fn of(self, first: f32, second: f32) -> f32 {
        match self {
            Word::F32 => first,
            Word::Rounded => f32::from_bits(u32::from(bf16(first)) << 16),
            Word::Pair => f32::from_bits(u32::from(bf16(second)) << 16 | u32::from(bf16(first))),
        }
    }
}

fn bf16(value: f32) -> u16 {
    half::bf16::from_f32(value).to_bits()
}

/// A family of tiles of one instruction set, and the layout they read.
pub(super) struct Kernel {
    /// Most rows of a tile.
    pub rows: usize,
    /// Values in a vector.
    pub lanes: usize,
    /// Most vectors in a row of a tile.
    pub vectors: usize,
    /// Words along `k` of a panel, at most. A panel of 16 columns and 512 steps, or of 32 and 256, is
    /// 32 KiB. Results depend on it, to the last bit: it is never chosen by a measurement.
    pub steps: usize,
    /// Words of the operands.
    pub word: Word,
    /// Tile of `r` rows and `v` vectors at `(r - 1) · vectors + v - 1`.
    pub tiles: &'static [Tile],
    /// Panels are packed with AVX2 or NEON.
    pub packs_with_vectors: bool,
}

impl Kernel {
    /// The kernel for [`Isa::active`].
    pub fn active(compute: ComputeType) -> Kernel {
        let word = match compute {
            ComputeType::F32 | ComputeType::BatchInvariant => Word::F32,
            ComputeType::Bf16 if Isa::active() == Isa::Avx512Bf16 => Word::Pair,
            ComputeType::Bf16 => Word::Rounded,
        };
        match Isa::active() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => {
                let tiles = if word == Word::Pair { &avx512::PAIR_TILES } else { &avx512::TILES };
                Kernel {
                    rows: avx512::ROWS,
                    lanes: avx512::LANES,
                    vectors: avx512::VECTORS,
                    steps: 256,
                    word,
                    tiles,
                    packs_with_vectors: true,
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernel {
                rows: avx2::ROWS,
                lanes: avx2::LANES,
                vectors: avx2::VECTORS,
                steps: 512,
                word,
                tiles: &avx2::TILES,
                packs_with_vectors: true,
            },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Kernel {
                rows: neon::ROWS,
                lanes: neon::LANES,
                vectors: neon::VECTORS,
                steps: 256,
                word,
                tiles: &neon::TILES,
                packs_with_vectors: true,
            },
            _ => Kernel {
                rows: portable::ROWS,
                lanes: portable::LANES,
                vectors: portable::VECTORS,
                steps: 256,
                word,
                tiles: &portable::TILES,
                packs_with_vectors: false,
            },
        }
    }

    /// Columns of the widest tile, and of a packed panel.
    pub fn columns(&self) -> usize {
        self.lanes * self.vectors
    }

    /// The tile of `rows` rows and `vectors` vectors.
    pub fn tile(&self, rows: usize, vectors: usize) -> Tile {
        self.tiles[(rows - 1) * self.vectors + vectors - 1]
    }
}
