//! Buffers whose first contents are an operation's results.
//!
//! Zeroing an output that is then overwritten costs a pass over memory. Kernels with an output
//! worth the trouble write to `MaybeUninit` elements, all of them.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;

/// A vector of `len` elements, all of which `fill` writes.
///
/// # Safety
/// `fill` has initialised every element when it returns.
pub(crate) unsafe fn vec_filled<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and the caller vouches for the elements.
    unsafe { values.set_len(len) };
    values
}

/// Initialised elements as the output of a kernel, which only ever writes initialised ones.
pub(crate) fn overwritten<T: Copy>(values: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the layouts are the same; the crate's kernels write values, never `uninit`.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<T>]) }
}
