//! Which instructions multiply the bytes.

use super::portable;
#[cfg(target_arch = "x86_64")]
use super::spec::INT8_BLOCK;
use super::spec::{Layout, OFFSET, PANEL};
#[cfg(target_arch = "x86_64")]
use super::{amx, x86};
use crate::isa::Isa;

/// Instructions for products of bytes, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// What the compiler makes of loops.
    Portable,
    /// `vpmaddubsw` of AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `vpdpbusd` on 256-bit vectors (AVX-VNNI).
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// `vpdpbusd` on 512-bit vectors (AVX-512 VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// The matrix unit (AMX), which takes weights with their sign.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

/// A panel of the weight, and the rows of `x` to multiply it with.
pub(super) struct TileTask<'a> {
    pub panel: &'a [u8],
    pub layout: Layout,
    /// What 4-bit codes stand for, as stored.
    pub table: &'a [u8; 16],
    pub blocks: usize,
    /// Rows of `x`, which the slices below hold one after the other.
    pub rows: usize,
    pub x: &'a [i8],
    pub scales: &'a [f32],
    pub starts: &'a [i32],
    pub sums: &'a [f32],
}

impl Unit {
    /// Every one, narrowest first.
    pub const ALL: &'static [Unit] = &[
        Unit::Portable,
        #[cfg(target_arch = "x86_64")]
        Unit::Avx2,
        #[cfg(target_arch = "x86_64")]
        Unit::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Unit::Avx512Vnni,
        #[cfg(target_arch = "x86_64")]
        Unit::Amx,
    ];

    /// The widest that this processor has within [`Isa::active`] and that `m` rows are enough for.
    pub fn active(m: usize) -> Unit {
        let within =
            |unit: &Unit| unit.isa() <= Isa::active() && m >= unit.least_rows() && unit.is_available();
        Unit::ALL.iter().copied().rfind(within).unwrap_or(Unit::Portable)
    }

    /// The instruction set that it belongs to.
    fn isa(self) -> Isa {
        match self {
            Unit::Portable => Isa::Scalar,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 | Unit::AvxVnni => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni | Unit::Amx => Isa::Avx512,
        }
    }

    /// Rows of `x` below which a narrower one is quicker.
    fn least_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => 16,
            _ => 0,
        }
    }

    /// Whether weights are needed as bytes with their sign, which [`Unit::expand`] writes.
    pub fn takes_signed(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => true,
            _ => false,
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Unit::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 => Isa::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Unit::AvxVnni => Isa::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => Isa::Avx512.is_available() && amx::is_available(),
        }
    }

    /// Rows of `x` that a tile takes at most.
    pub fn rows(self) -> usize {
        match self {
            Unit::Portable => portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx2 | Unit::AvxVnni => x86::ROWS_256,
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512Vnni => x86::ROWS_512,
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => amx::ROWS,
        }
    }

    /// `out[rows, 32]`: the rows of `x` times the rows of the panel.
    ///
    /// # Panics
    /// If the slices do not hold what the task says, or the processor lacks the instructions.
    pub fn tile(self, task: &TileTask<'_>, out: &mut [f32]) {
        let stats = task.rows * task.blocks;
        assert!(task.panel.len() == task.blocks * task.layout.block_bytes());
        assert!((1..=self.rows()).contains(&task.rows) && out.len() == task.rows * PANEL);
        assert!(task.x.len() == stats * super::spec::INT8_BLOCK);
        assert!(task.scales.len() == stats && task.starts.len() == stats && task.sums.len() == stats);
        match self {
            Unit::Portable => portable::tile(task, out),
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => {
                assert!(self.is_available() && !task.layout.nibbles);
                // SAFETY: as below.
                #[allow(unsafe_code)]
                unsafe {
                    amx::tile(task, out);
                }
            }
            #[cfg(target_arch = "x86_64")]
            _ => {
                assert!(self.is_available());
                // SAFETY: the processor has the instructions, and the slices are as long as the task
                // needs, as just checked.
                #[allow(unsafe_code)]
                unsafe {
                    x86::tile(self, task, out);
                }
            }
        }
    }

    /// Writes a panel of 4-bit codes as one of bytes, scales and minima beside them; with
    /// [`Unit::takes_signed`] any panel, its bytes signed.
    ///
    /// # Panics
    /// As [`Unit::tile`].
    pub fn expand(self, panel: &[u8], layout: Layout, table: &[u8; 16], out: &mut [u8]) {
        let wide = Layout { nibbles: false, ..layout };
        let codes_at = layout.codes_at();
        let sign = if self.takes_signed() { OFFSET } else { 0 };
        let table = &table.map(|value| value ^ sign);
        let blocks = panel.chunks_exact(layout.block_bytes()).zip(out.chunks_exact_mut(wide.block_bytes()));
        for (from, to) in blocks {
            to[..codes_at].copy_from_slice(&from[..codes_at]);
            let (from, to) = (&from[codes_at..], &mut to[codes_at..]);
            if !layout.nibbles {
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from ^ sign);
                continue;
            }
            match self {
                #[cfg(target_arch = "x86_64")]
                Unit::Avx2 | Unit::AvxVnni | Unit::Avx512Vnni | Unit::Amx => {
                    assert!(
                        self.is_available() && to.len() == PANEL * INT8_BLOCK && from.len() * 2 == to.len()
                    );
                    // SAFETY: the processor has AVX2, and the lengths are those of a block.
                    #[allow(unsafe_code)]
                    unsafe {
                        x86::expand(from, table, to);
                    }
                }
                Unit::Portable => {
                    let (low, high) = to.split_at_mut(from.len());
                    for ((low, high), &code) in low.iter_mut().zip(high).zip(from) {
                        (*low, *high) = (table[usize::from(code & 15)], table[usize::from(code >> 4)]);
                    }
                }
            }
        }
    }
}
