//! A tile of the product by each of the instructions.

#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
use super::spec::{INT8_BLOCK, Layout, OFFSET, PANEL};
use super::task::TileTask;
use super::unit::Unit;
#[cfg(target_arch = "x86_64")]
use super::{amx, x86};

impl Unit {
    /// Rows of `x` that a tile takes at most.
    pub fn rows(self) -> usize {
        match self {
            Unit::Portable => portable::ROWS,
            #[cfg(target_arch = "aarch64")]
            Unit::Neon | Unit::DotProd => neon::ROWS,
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
        let blocks = task.rows * task.blocks;
        assert!(task.panel.len() == task.blocks * task.layout.block_bytes());
        assert!((1..=self.rows()).contains(&task.rows) && out.len() == task.rows * PANEL);
        assert!(task.x.len() == blocks && task.stats.len() == blocks);
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
            #[cfg(target_arch = "aarch64")]
            Unit::Neon | Unit::DotProd => {
                assert!(self.is_available());
                // SAFETY: the processor has the instructions, and the slices are as long as the task
                // needs, as just checked.
                #[allow(unsafe_code)]
                unsafe {
                    neon::tile(self, task, out);
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
                #[cfg(target_arch = "aarch64")]
                Unit::Neon | Unit::DotProd => {
                    assert!(to.len() == PANEL * INT8_BLOCK && from.len() * 2 == to.len());
                    // SAFETY: every 64-bit Arm processor has NEON, and the lengths are those of a block.
                    #[allow(unsafe_code)]
                    unsafe {
                        neon::expand(from, table, to);
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
