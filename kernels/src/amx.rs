//! The matrix unit of AMX: whether this process may use it, and what its registers hold.
//!
//! The instructions themselves are written as assembly where they are used: the compiler has
//! no stable names for them.

#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a register.
pub(crate) const REGISTER_ROWS: usize = 16;

/// Bytes of a row of a register.
pub(crate) const REGISTER_ROW_BYTES: usize = 64;

/// Whether the processor has the unit, with products of bytes and of bfloat16, and the system
/// lets this process use it.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let (bf16, tile, int8) = (1 << 22, 1 << 24, 1 << 25);
        let all = bf16 | tile | int8;
        let enough = __cpuid(0).eax >= 7 && is_x86_feature_detected!("xsave");
        enough && __cpuid_count(7, 0).edx & all == all && permitted()
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

/// The shapes of the eight registers, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// The registers of the unit, held by this thread until it is dropped.
pub(crate) struct Registers(PhantomData<*const ()>);

impl Registers {
    /// Every register [`REGISTER_ROWS`] rows of [`REGISTER_ROW_BYTES`] bytes.
    ///
    /// # Safety
    /// [`is_available`], and this thread holds no other.
    pub unsafe fn whole() -> Self {
        // SAFETY: as promised above.
        unsafe { Self::new([(REGISTER_ROWS, REGISTER_ROW_BYTES); 8]) }
    }

    /// Registers of so many rows and bytes a row.
    ///
    /// # Safety
    /// [`is_available`], and this thread holds no other.
    pub unsafe fn new(shapes: [(usize, usize); 8]) -> Self {
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for (i, (rows, row_bytes)) in shapes.into_iter().enumerate() {
            assert!((1..=REGISTER_ROWS).contains(&rows) && (1..=REGISTER_ROW_BYTES).contains(&row_bytes));
            configuration.rows[i] = rows as u8;
            configuration.row_bytes[i] = row_bytes as u16;
        }
        // SAFETY: the unit is there, and what is read are 64 bytes that describe registers it has.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) };
        Self(PhantomData)
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        // SAFETY: who made this has the unit; its registers are read by nobody any more.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
