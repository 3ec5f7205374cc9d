//! Memory whose pages are used again for buffers of any size.
//!
//! Writing to a fresh page costs more than most of what the operations here compute: the system
//! has to find it, clear it and map it. A step allocates hundreds of megabytes, of other sizes going
//! forward than going backward, so buffers are cut from large pieces of address space, and what comes
//! back joins what is free beside it. A page that was touched stays; beyond a small reserve, idle ones
//! are given up before fresh ones are touched: the process holds hardly more than its buffers once did.

#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw};

/// Buffers begin at multiples of this many bytes.
pub(crate) const GRAIN: usize = 1 << 12;

/// Pages by which memory is touched and given up: 2 MiB, which the system may map at once.
const PAGE: usize = 1 << 21;

/// Idle bytes that stay when fresh pages are touched.
const RESERVE: usize = 16 << 20;

/// Addresses taken from the system at a time; what is never touched is no memory.
const CHUNK: usize = 1 << 30;

/// A piece of the arena, which it returns to when it is dropped.
pub(crate) struct Piece {
    start: NonNull<u8>,
    chunk: usize,
    range: Range<usize>,
}

// SAFETY: a piece is plain memory that belongs to its holder alone.
unsafe impl Send for Piece {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for Piece {}

static ARENA: Mutex<Arena> = Mutex::new(Arena { chunks: Vec::new() });

impl Piece {
    /// At least `bytes` bytes of any content.
    ///
    /// # Panics
    /// If the system has no memory left.
    pub fn take(bytes: usize) -> Self {
        let len = bytes.next_multiple_of(GRAIN);
        let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
        arena.take(len)
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range lies inside a mapping that is never unmapped, and nobody else has it;
        // mapped memory is initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.range.len()) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.range.len()) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
        arena.chunks[self.chunk].put(self.range.clone());
    }
}

/// Gives idle pages back to the system.
pub(crate) fn release_idle() {
    let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
    arena.give_up(usize::MAX, 0, None);
}

struct Arena {
    chunks: Vec<Chunk>,
}

/// Where a buffer goes.
struct Place {
    chunk: usize,
    /// Index of a free range.
    free: usize,
    fresh_pages: usize,
}

impl Arena {
    fn take(&mut self, len: usize) -> Piece {
        let place = self.place(len).unwrap_or_else(|| {
            self.chunks.push(Chunk::new(len));
            self.place(len).expect("a new chunk holds what it was made for")
        });
        let start = self.chunks[place.chunk].free[place.free].start;
        let range = start..start + len;
        if place.fresh_pages > 0 {
            self.give_up(place.fresh_pages, RESERVE / PAGE, Some((place.chunk, &range)));
        }
        let chunk = &mut self.chunks[place.chunk];
        chunk.cut(place.free, len);
        Piece { start: chunk.address(range.start), chunk: place.chunk, range }
    }

    /// The free range that needs the fewest fresh pages, of those the shortest.
    fn place(&self, len: usize) -> Option<Place> {
        let mut best: Option<((usize, usize), Place)> = None;
        for (c, chunk) in self.chunks.iter().enumerate() {
            for (f, free) in chunk.free.iter().enumerate().filter(|(_, free)| free.len() >= len) {
                let fresh_pages = chunk.fresh_pages(free.start..free.start + len);
                let cost = (fresh_pages, free.len());
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, Place { chunk: c, free: f, fresh_pages }));
                }
            }
        }
        best.map(|(_, place)| place)
    }

    /// Gives up to `pages` idle pages back to the system, of those beyond the first `reserve`, but none that
    /// `wanted` touches.
    fn give_up(&mut self, pages: usize, reserve: usize, wanted: Option<(usize, &Range<usize>)>) {
        let mut idle = Vec::new();
        for (c, chunk) in self.chunks.iter().enumerate() {
            let spared = wanted.filter(|(of, _)| *of == c).map(|(_, range)| pages_of(range));
            let mut pages: Vec<_> = chunk.idle_pages().map(|page| (c, page)).collect();
            pages.retain(|(_, page)| spared.as_ref().is_none_or(|spared| !spared.contains(page)));
            idle.extend(pages);
        }
        // Those at high addresses first: free ranges then lie where they join others.
        let most = idle.len().saturating_sub(reserve).min(pages);
        for &(c, page) in idle.iter().rev().take(most) {
            self.chunks[c].give_up(page);
        }
    }
}

/// Pages that a range touches.
fn pages_of(range: &Range<usize>) -> Range<usize> {
    range.start / PAGE..range.end.div_ceil(PAGE)
}

/// A mapping, cut into buffers and what is free between them.
struct Chunk {
    memory: MmapRaw,
    /// Where the first page begins.
    first: usize,
    /// Which pages were touched since the system last had them.
    touched: Vec<bool>,
    /// In order, none beside another.
    free: Vec<Range<usize>>,
}

impl Chunk {
    /// Address space for `len` bytes and, where the system has it, for more to come.
    fn new(len: usize) -> Self {
        let map = |len: usize| MmapOptions::new().len(len + PAGE).no_reserve_swap().map_anon();
        let mut size = len.next_multiple_of(PAGE).max(CHUNK);
        let memory = map(size).or_else(|_| {
            size = len.next_multiple_of(PAGE);
            map(size)
        });
        let memory = memory.unwrap_or_else(|error| panic!("no memory for {len} bytes: {error}"));
        let memory = MmapRaw::from(memory);
        let first = memory.as_ptr().align_offset(PAGE).min(PAGE);
        // A system that has no huge pages is as good as one that declines.
        #[cfg(target_os = "linux")]
        let _ = memory.advise_range(memmap2::Advice::HugePage, first, size);
        Self { memory, first, touched: vec![false; size / PAGE], free: std::iter::once(0..size).collect() }
    }

    fn address(&self, at: usize) -> NonNull<u8> {
        assert!(self.first + at < self.memory.len());
        // SAFETY: inside the mapping, as just checked, which does not begin at zero.
        unsafe { NonNull::new_unchecked(self.memory.as_mut_ptr().add(self.first + at)) }
    }

    fn fresh_pages(&self, range: Range<usize>) -> usize {
        self.touched[pages_of(&range)].iter().filter(|&&touched| !touched).count()
    }

    /// Takes `len` bytes from the start of a free range.
    fn cut(&mut self, free: usize, len: usize) {
        let start = self.free[free].start;
        self.touched[pages_of(&(start..start + len))].fill(true);
        self.free[free].start += len;
        if self.free[free].is_empty() {
            self.free.remove(free);
        }
    }

    /// Makes a range free again.
    fn put(&mut self, range: Range<usize>) {
        let at = self.free.partition_point(|free| free.start < range.start);
        let joins_next = self.free.get(at).is_some_and(|next| next.start == range.end);
        let joins_last = at > 0 && self.free[at - 1].end == range.start;
        match (joins_last, joins_next) {
            (true, true) => self.free[at - 1].end = self.free.remove(at).end,
            (true, false) => self.free[at - 1].end = range.end,
            (false, true) => self.free[at].start = range.start,
            (false, false) => self.free.insert(at, range),
        }
    }

    /// Touched pages that no buffer has a part of.
    fn idle_pages(&self) -> impl Iterator<Item = usize> {
        let whole = self.free.iter().flat_map(|free| free.start.div_ceil(PAGE)..free.end / PAGE);
        whole.filter(|&page| self.touched[page])
    }

    /// Lets the system have a page that is free. Elsewhere than on Linux it stays.
    fn give_up(&mut self, page: usize) {
        #[cfg(target_os = "linux")]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: nobody holds a buffer in this page; its content becomes zeros.
            let given = unsafe { self.memory.unchecked_advise_range(advice, self.first + page * PAGE, PAGE) };
            self.touched[page] = given.is_err();
        }
        #[cfg(not(target_os = "linux"))]
        let _ = page;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_joins_its_neighbours_and_is_taken_again() {
        let mut chunk = Chunk::new(CHUNK);
        let size = chunk.free[0].end;
        for _ in 0..4 {
            chunk.cut(0, 3 * GRAIN);
        }
        let part = |i: usize| 3 * i * GRAIN..3 * (i + 1) * GRAIN;
        assert_eq!(chunk.free, Vec::from_iter(std::iter::once(12 * GRAIN..size)));
        chunk.put(part(0));
        chunk.put(part(2));
        assert_eq!(chunk.free, [part(0), part(2), 12 * GRAIN..size]);
        chunk.put(part(1));
        assert_eq!(chunk.free, [0..9 * GRAIN, 12 * GRAIN..size]);
        chunk.put(part(3));
        assert_eq!(chunk.free, Vec::from_iter(std::iter::once(0..size)));
    }

    #[test]
    fn touched_pages_go_first_and_idle_ones_make_room_for_fresh_ones() {
        let mut arena = Arena { chunks: vec![Chunk::new(CHUNK)] };
        let take = |arena: &mut Arena, len: usize| {
            let piece = std::mem::ManuallyDrop::new(arena.take(len));
            piece.range.clone()
        };
        let touched = |arena: &Arena| arena.chunks[0].touched.iter().filter(|&&touched| touched).count();
        let first = take(&mut arena, 20 * PAGE);
        let second = take(&mut arena, 5 * PAGE);
        let third = take(&mut arena, 3 * PAGE);
        assert_eq!(touched(&arena), 28);
        arena.chunks[0].put(first.clone());
        arena.chunks[0].put(third.clone());
        assert_eq!(take(&mut arena, 2 * PAGE).start, first.start, "no fresh page where there are idle ones");
        assert_eq!(touched(&arena), 28);
        // 18 pages from 2 on and 3 from 25 on are idle, 8 of which stay; what is wanted begins at the 3.
        let large = take(&mut arena, 30 * PAGE);
        assert_eq!(large.start, third.start);
        assert_eq!(touched(&arena), 28 + 27 - 10);
        arena.chunks[0].put(large);
        arena.chunks[0].put(second);
        arena.give_up(usize::MAX, 0, None);
        assert_eq!(touched(&arena), 2, "what is held stays");
    }

    #[test]
    fn pieces_do_not_overlap_and_hold_what_is_written() {
        let mut pieces: Vec<(u8, Piece)> = Vec::new();
        for i in 0..200_usize {
            let mut piece = Piece::take(1 + i * 7919 % 300_000);
            piece.bytes_mut().fill(i as u8);
            pieces.push((i as u8, piece));
            if i % 3 == 0 {
                pieces.remove(i * 31 % pieces.len());
            }
        }
        for (value, piece) in &pieces {
            assert!(piece.bytes().iter().all(|byte| byte == value));
            assert_eq!(piece.bytes().as_ptr().align_offset(GRAIN), 0);
        }
    }
}
