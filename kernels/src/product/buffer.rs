//! Scratch memory that threads keep between calls.
//!
//! Fresh memory costs a page fault every 4 KiB, which is more than filling it.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers that a thread keeps at most.
const KEPT: usize = 4;

/// Words above which a buffer is given back to the system: 16 MiB.
const KEPT_WORDS: usize = 1 << 22;

/// Words in a cache line.
const LINE: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Words that start at a cache line and hold whatever was there before.
pub(crate) struct Buffer {
    words: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` words, from this thread's store if it has them.
    pub fn take(len: usize) -> Self {
        let wanted = len + LINE;
        let words = FREE.with_borrow_mut(|free| {
            // The smallest that is large enough; else the largest goes, and a larger one comes.
            let fit = (0..free.len()).filter(|&i| free[i].len() >= wanted).min_by_key(|&i| free[i].len());
            let any = (0..free.len()).max_by_key(|&i| free[i].len());
            fit.or(any).map(|i| free.swap_remove(i))
        });
        let words = match words {
            Some(words) if words.len() >= wanted => words,
            _ => vec![0.0; wanted],
        };
        let start = words.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { words, start, len }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.words.len() > KEPT_WORDS {
            return;
        }
        let words = std::mem::take(&mut self.words);
        // A thread that is ending has no store any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(words);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.words[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.words[self.start..self.start + self.len]
    }
}
