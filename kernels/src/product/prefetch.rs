//! Memory asked for ahead of its use.

#![allow(unsafe_code)]

const CACHE_LINE: usize = 64;

/// Asks for `bytes` bytes at `start`, which need not be there.
#[inline]
pub(super) fn prefetch(start: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(CACHE_LINE) {
        prefetch_line(start.wrapping_add(line));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: SSE, which every x86-64 has; no memory is accessed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn prefetch_line(at: *const u8) {
    // SAFETY: an address that is not there is ignored; nothing that the program can see changes.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
}
