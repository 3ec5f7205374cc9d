//! The micro-kernels of this machine: tiles of the destination held in registers.

use std::fmt;

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
use super::tile::Tile;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512};
#[cfg(target_arch = "x86_64")]
use crate::amx::Registers;
use crate::isa::Isa;

/// How the operands of a product are rounded before they are multiplied; sums run in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputeType {
    /// Operands as they are.
    #[default]
    F32,
    /// Both operands rounded to bfloat16, to nearest even.
    ///
    /// With AMX the products run on the matrix unit, with AVX-512 BF16 on the dot-product instruction; both
    /// take denormal numbers for zero. Elsewhere the rounded values are multiplied in f32.
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
    /// The same for the matrix unit: zeros follow until there are whole registers, and panels of the left
    /// operand hold them row by row.
    RegisterPair,
}

impl Word {
    /// Words that `k` values take.
    pub fn count(self, k: usize) -> usize {
        match self {
            Word::F32 | Word::Rounded => k,
            Word::Pair => k.div_ceil(2),
            Word::RegisterPair => k.div_ceil(2).next_multiple_of(16),
        }
    }

    /// Values that a word holds.
    pub fn values(self) -> usize {
        match self {
            Word::F32 | Word::Rounded => 1,
            Word::Pair | Word::RegisterPair => 2,
        }
    }

    /// The word of one value, or of two where a word holds them.
    pub fn of(self, first: f32, second: f32) -> f32 {
        match self {
            Word::F32 => first,
            Word::Rounded => f32::from_bits(u32::from(bf16(first)) << 16),
            Word::Pair | Word::RegisterPair => {
                f32::from_bits(u32::from(bf16(second)) << 16 | u32::from(bf16(first)))
            }
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
    /// Rows that a tile comes in: it computes whole ones.
    pub row_unit: usize,
    /// Values in a vector.
    pub lanes: usize,
    /// Most vectors in a row of a tile.
    pub vectors: usize,
    /// Words along `k` of a panel, at most. A panel of 16 columns and 512 steps, or of 32 and 256, is
    /// 32 KiB. Results depend on it, to the last bit: it is never chosen by a measurement.
    pub steps: usize,
    /// Words of the operands.
    pub word: Word,
    /// Tile of `r` row units and `v` vectors at `(r - 1) · vectors + v - 1`.
    pub tiles: &'static [Tile],
    /// What packs panels.
    pub packer: Packer,
    /// As many rows of tiles cost what packing a column of the right operand does.
    pub packing: usize,
}

/// What packs panels, narrowest first: each may leave work to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Packer {
    Portable,
    /// AVX2 or NEON.
    Vectors,
    /// AVX-512 with BF16, for pairs.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The kernel for [`Isa::active`].
    pub fn active(compute: ComputeType) -> Kernel {
        let word = match (compute, Isa::active()) {
            (ComputeType::F32 | ComputeType::BatchInvariant, _) => Word::F32,
            (ComputeType::Bf16, Isa::Avx512Bf16) => Word::Pair,
            (ComputeType::Bf16, Isa::Amx) => Word::RegisterPair,
            (ComputeType::Bf16, _) => Word::Rounded,
        };
        match Isa::active() {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx if word == Word::RegisterPair => Kernel {
                rows: amx::ROWS,
                row_unit: amx::ROWS / 2,
                lanes: amx::LANES,
                vectors: amx::VECTORS,
                steps: 1024,
                word,
                tiles: &amx::TILES,
                packer: Packer::Avx512,
                packing: 256,
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => Kernel {
                rows: avx512::ROWS,
                row_unit: 1,
                lanes: avx512::LANES,
                vectors: avx512::VECTORS,
                steps: 256,
                word,
                tiles: if word == Word::Pair { &avx512::PAIR_TILES } else { &avx512::TILES },
                packer: if word == Word::Pair { Packer::Avx512 } else { Packer::Vectors },
                packing: 16,
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernel {
                rows: avx2::ROWS,
                row_unit: 1,
                lanes: avx2::LANES,
                vectors: avx2::VECTORS,
                steps: 512,
                word,
                tiles: &avx2::TILES,
                packer: Packer::Vectors,
                packing: 16,
            },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Kernel {
                rows: neon::ROWS,
                row_unit: 1,
                lanes: neon::LANES,
                vectors: neon::VECTORS,
                steps: 256,
                word,
                tiles: &neon::TILES,
                packer: Packer::Vectors,
                packing: 16,
            },
            _ => Kernel {
                rows: portable::ROWS,
                row_unit: 1,
                lanes: portable::LANES,
                vectors: portable::VECTORS,
                steps: 256,
                word,
                tiles: &portable::TILES,
                packer: Packer::Portable,
                packing: 16,
            },
        }
    }

    /// What a thread holds while it runs tiles.
    #[cfg(target_arch = "x86_64")]
    pub fn registers(&self) -> Option<Registers> {
        let matrix_unit = self.word == Word::RegisterPair;
        // SAFETY: the kernel is chosen only where the unit is; a thread runs one product at a time,
        // and everything else that takes the registers gives them back before it returns.
        #[allow(unsafe_code)]
        matrix_unit.then(|| unsafe { Registers::whole() })
    }

    /// What a thread holds while it runs tiles: nothing.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn registers(&self) {}

    /// Columns of the widest tile, and of a packed panel.
    pub fn columns(&self) -> usize {
        self.lanes * self.vectors
    }

    /// The tile of at least `rows` rows and of `vectors` vectors.
    pub fn tile(&self, rows: usize, vectors: usize) -> Tile {
        self.tiles[(rows.div_ceil(self.row_unit) - 1) * self.vectors + vectors - 1]
    }
}
