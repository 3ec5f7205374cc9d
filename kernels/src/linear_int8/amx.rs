//! Tiles of 32 weight rows and 32 rows of `x` by the matrix unit of AMX, for many rows.
//!
//! A block of a panel is a matrix as the unit wants it: groups of four values below each other, the
//! panel's rows side by side. The unit's sums are integers like all others', so bits are the same.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

use super::spec::{GROUP, INT8_BLOCK, PANEL, SCALES_BYTES};
use super::task::TileTask;

/// Rows of `x` in a tile: two of the unit's registers.
pub(super) const ROWS: usize = 32;

/// Rows of a register of the unit.
const REGISTER: usize = 16;

/// Whether the processor has the unit and the system lets this process use it.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let tile = 1 << 24;
        let int8 = 1 << 25;
        let enough = __cpuid(0).eax >= 7 && is_x86_feature_detected!("xsave");
        enough && __cpuid_count(7, 0).edx & (tile | int8) == tile | int8 && permitted()
    })
}

/// Asks Linux for the unit's registers; the answer holds for all threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that changes nothing but which registers the process may use; it takes
    // no pointers. The kernel clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// What the unit's registers hold, as `ldtilecfg` reads it.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Registers 0 to 3 for sums, 4 and 5 for `first` and `second` rows of `x`, 6 and 7 for weights.
    fn new(first: usize, second: usize) -> Self {
        let (wide, narrow) = ((REGISTER * size_of::<i32>()) as u16, INT8_BLOCK as u16);
        let mut rows = [0; 16];
        let groups = (INT8_BLOCK / GROUP) as u8;
        let (first, second) = (first as u8, second.max(1) as u8);
        rows[..8].copy_from_slice(&[first, first, second, second, first, second, groups, groups]);
        let mut row_bytes = [0; 16];
        row_bytes[..8].copy_from_slice(&[wide, wide, wide, wide, narrow, narrow, wide, wide]);
        Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// Sums of a block, row by row of `x`.
#[repr(C, align(64))]
struct Sums([[i32; PANEL]; ROWS]);

/// One panel of bytes *with their sign* against up to [`ROWS`] rows of `x`.
///
/// # Safety
/// [`is_available`]; slices as `Unit::tile` checks them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(task: &TileTask<'_>, out: &mut [f32]) {
    let (blocks, inn) = (task.blocks, task.blocks * INT8_BLOCK);
    let (codes_at, block_bytes) = (task.layout.codes_at(), task.layout.block_bytes());
    let (first, second) = (task.rows.min(REGISTER), task.rows.saturating_sub(REGISTER));
    let configuration = Configuration::new(first, second);
    let mut sums = Sums([[0; PANEL]; ROWS]);
    out.fill(0.0);
    // SAFETY: the panel holds `blocks` blocks, `x` and the statistics `task.rows` rows of as many,
    // `out` as many rows of a panel; the configuration has no more rows. The unit's registers are
    // nobody else's and are given back.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly));
        for block in 0..blocks {
            let bytes = task.panel.as_ptr().add(block * block_bytes);
            let x = task.x.as_ptr().add(block).cast::<i8>();
            asm!(
                "tileloadd tmm6, [{codes} + {side}]",
                "tileloadd tmm7, [{codes} + {side} + 64]",
                "tileloadd tmm4, [{x} + {row}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm1, tmm4, tmm7",
                "tilestored [{sums} + {side}], tmm0",
                "tilestored [{sums} + {side} + 64], tmm1",
                codes = in(reg) bytes.add(codes_at),
                side = in(reg) PANEL * GROUP,
                x = in(reg) x,
                row = in(reg) inn,
                sums = in(reg) &mut sums,
                options(nostack),
            );
            if second > 0 {
                asm!(
                    "tileloadd tmm5, [{x} + {row}]",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "tdpbssd tmm2, tmm5, tmm6",
                    "tdpbssd tmm3, tmm5, tmm7",
                    "tilestored [{sums} + {side}], tmm2",
                    "tilestored [{sums} + {side} + 64], tmm3",
                    side = in(reg) PANEL * GROUP,
                    x = in(reg) x.add(REGISTER * inn),
                    row = in(reg) inn,
                    sums = in(reg) &mut sums.0[REGISTER],
                    options(nostack),
                );
            }
            let halves = |at: *const u8| {
                [
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                    _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
                ]
            };
            let scales = halves(bytes);
            let minima = task.layout.minima.then(|| halves(bytes.add(SCALES_BYTES)));
            for (r, sums) in sums.0.iter().enumerate().take(task.rows) {
                let scale = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).scale);
                for (i, scales) in scales.into_iter().enumerate() {
                    let y = out.as_mut_ptr().add(r * PANEL + i * REGISTER);
                    let sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums.as_ptr().add(i * REGISTER).cast()));
                    let mut sum = _mm512_fmadd_ps(sum, _mm512_mul_ps(scales, scale), _mm512_loadu_ps(y));
                    if let Some(minima) = minima {
                        let total = _mm512_set1_ps((*task.stats.as_ptr().add(r * blocks + block)).sum);
                        sum = _mm512_fmadd_ps(minima[i], total, sum);
                    }
                    _mm512_storeu_ps(y, sum);
                }
            }
        }
        asm!("tilerelease", options(nostack, nomem));
    }
}
