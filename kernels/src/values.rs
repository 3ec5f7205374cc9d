//! Large buffers that are used again instead of going back to the system.
//!
//! Writing to a fresh page costs more than most of what the operations here
//! compute: the system has to find it, clear it and map it. A step allocates the
//! same sizes over and over, so buffers return to a pool when their tensor is
//! dropped. Beyond a small reserve, what is idle is given up before anything new is
//! mapped; the pool therefore holds hardly more than the tensors once did together.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};
use memmap2::MmapMut;

/// Smaller buffers are left to the allocator, which keeps such pieces itself.
const POOLED_FROM: usize = 1 << 16;

/// Idle bytes that stay when something new is mapped: phases of a block that need
/// other sizes than the one before then do not take each other's buffers away.
const RESERVE: usize = 16 << 20;

/// Regions come in whole pages of this many bytes.
const PAGE: usize = 1 << 12;

/// Pages that the system may map at once where it can: 2 MiB on x86-64 and Arm.
const HUGE_PAGE: usize = 1 << 21;

/// f32 values on their way to becoming a tensor.
pub(crate) enum Values {
    Small(Vec<f32>),
    Pooled { region: Region, len: usize },
}

impl Values {
    /// `len` values that mean nothing; the caller writes every one of them.
    pub fn unset(len: usize) -> Self {
        let bytes = len * size_of::<f32>();
        if bytes < POOLED_FROM {
            // A value that was forgotten then shows in every result.
            return Self::Small(vec![f32::NAN; len]);
        }
        Self::Pooled { region: Region::take(bytes), len }
    }

    /// The tensor over these values, without a copy.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        match self {
            Self::Small(values) => FlexTensor::from_data(TensorData::new(values, shape)),
            Self::Pooled { region, len } => {
                // SAFETY: a mapping is initialised memory from its first to its last
                // byte, and the region holds at least `len` values of 4 bytes.
                #[allow(unsafe_code)]
                let bytes = unsafe { Bytes::from_controller(Box::new(region), len * size_of::<f32>()) };
                FlexTensor::from_data(TensorData::from_bytes(bytes, shape, DType::F32))
            }
        }
    }
}

impl Values {
    /// The first `len` bytes as the data of a tensor of unsigned bytes, without a copy.
    pub fn into_bytes(self, len: usize) -> TensorData {
        let bytes = match self {
            Self::Small(values) => {
                return TensorData::new(bytemuck::cast_slice::<f32, u8>(&values)[..len].to_vec(), [len]);
            }
            Self::Pooled { region, len: values } => {
                assert!(len <= values * size_of::<f32>());
                // SAFETY: a mapping is initialised memory from its first to its last byte, and the
                // region holds at least `len` of them.
                #[allow(unsafe_code)]
                unsafe {
                    Bytes::from_controller(Box::new(region), len)
                }
            }
        };
        TensorData::from_bytes(bytes, [len], DType::U8)
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::Small(values)
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Small(values) => values,
            Self::Pooled { region, len } => &bytemuck::cast_slice(region.bytes())[..*len],
        }
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(values) => values,
            Self::Pooled { region, len } => &mut bytemuck::cast_slice_mut(region.bytes_mut())[..*len],
        }
    }
}

/// Mapped memory that returns to the pool when it is dropped.
pub(crate) struct Region(Option<Mapping>);

impl Region {
    /// At least `bytes` bytes of any content.
    fn take(bytes: usize) -> Self {
        let (found, given_up) = {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            match pool.take(bytes) {
                Some(found) => (Some(found), Vec::new()),
                None => (None, pool.make_room(bytes)),
            }
        };
        drop(given_up); // unmapped while nobody waits for the pool
        Self(Some(found.unwrap_or_else(|| map(bytes))))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |mapping| &mapping.memory[mapping.start..][..mapping.len])
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |mapping| &mut mapping.memory[mapping.start..][..mapping.len])
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(mapping) = self.0.take() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).idle.push(mapping);
        }
    }
}

impl AllocationController for Region {
    fn alloc_align(&self) -> usize {
        PAGE
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    // SAFETY of the contract: callers write initialised bytes only, says the trait.
    #[allow(unsafe_code)]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = self.bytes_mut();
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and the slice is borrowed
        // from `self` exclusively.
        Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = self.bytes();
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and every byte is initialised.
        #[allow(unsafe_code)]
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}

/// Idle regions, the last one returned at the end.
struct Pool {
    idle: Vec<Mapping>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new() });

impl Pool {
    /// The region returned last among those that fit: its content may still be in
    /// the cache. One more than a quarter too large does not fit.
    fn take(&mut self, bytes: usize) -> Option<Mapping> {
        let fits = |region: &Mapping| region.len >= bytes && region.len <= bytes + bytes / 4 + PAGE;
        let found = self.idle.iter().rposition(fits)?;
        Some(self.idle.remove(found))
    }

    /// Regions to give up before `bytes` more are mapped, those idle longest first.
    fn make_room(&mut self, bytes: usize) -> Vec<Mapping> {
        let mut idle: usize = self.idle.iter().map(|region| region.len).sum();
        let mut missing = bytes;
        let given_up = self.idle.iter().take_while(|region| {
            let goes = idle > RESERVE && missing > 0;
            idle -= region.len;
            missing = missing.saturating_sub(region.len);
            goes
        });
        let count = given_up.count();
        self.idle.drain(..count).collect()
    }
}

/// Memory from the system: `len` bytes from `start`.
struct Mapping {
    memory: MmapMut,
    start: usize,
    len: usize,
}

/// A fresh mapping of at least `bytes` bytes, which begins at a huge page where it is as large as one.
fn map(bytes: usize) -> Mapping {
    let len = bytes.next_multiple_of(PAGE);
    // Addresses to move the start by; what is never touched is no memory.
    let room = if cfg!(target_os = "linux") && len >= HUGE_PAGE { HUGE_PAGE } else { 0 };
    let memory =
        MmapMut::map_anon(len + room).unwrap_or_else(|error| panic!("no memory for {len} bytes: {error}"));
    let start = if room > 0 { memory.as_ptr().align_offset(HUGE_PAGE).min(room) } else { 0 };
    #[cfg(target_os = "linux")]
    {
        // Whole huge pages only: the rest of the last one would be memory for nothing.
        // A system that has none is as good as one that declines.
        let huge = len / HUGE_PAGE * HUGE_PAGE;
        let _ = memory.advise_range(memmap2::Advice::HugePage, start, huge);
    }
    Mapping { memory, start, len }
}

/// Gives idle buffers back to the system.
///
/// Buffers that operations have finished with are kept for the next ones. After the
/// last step, or before a phase of another kind, a program can let them go.
pub fn release_idle_buffers() {
    let idle = std::mem::take(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner).idle);
    drop(idle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_fits_comes_back_and_idle_ones_make_room() {
        let mut pool = Pool { idle: vec![map(10 * PAGE), map(16 * PAGE), map(40 * PAGE)] };
        assert!(pool.take(50 * PAGE).is_none());
        assert!(pool.take(20 * PAGE).is_none(), "40 pages are too many for 20");
        assert_eq!(pool.take(15 * PAGE).map(|region| region.len), Some(16 * PAGE));
        assert!(pool.make_room(12 * PAGE).is_empty(), "a small reserve stays");
        pool.idle.push(map(RESERVE));
        let given_up: usize = pool.make_room(12 * PAGE).iter().map(|region| region.len).sum();
        assert_eq!(given_up, 50 * PAGE, "the one idle longest does not make enough room");
        assert!(pool.make_room(12 * PAGE).is_empty(), "the reserve alone is left");
    }

    /// Else a buffer of a little more than a huge page holds none: the system puts it anywhere.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_large_region_begins_at_a_huge_page() {
        for bytes in [HUGE_PAGE, HUGE_PAGE + HUGE_PAGE / 5, 3 * HUGE_PAGE + 1] {
            let mut region = Region(Some(map(bytes)));
            assert!(region.bytes().len() >= bytes);
            assert_eq!(region.bytes().as_ptr().align_offset(HUGE_PAGE), 0);
            region.bytes_mut()[bytes - 1] = 1;
        }
        assert_eq!(map(HUGE_PAGE - PAGE).memory.len(), HUGE_PAGE - PAGE, "small ones need no room");
    }

    #[test]
    fn a_buffer_is_as_long_as_asked_for_and_becomes_a_tensor() {
        for len in [0, 1, 1000, POOLED_FROM / 4 - 1, POOLED_FROM / 4, 100_003] {
            let mut values = Values::unset(len);
            assert_eq!(values.len(), len);
            values.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            let mut tensor = values.into_tensor([len]);
            assert_eq!(tensor.storage::<f32>().len(), len);
            let copy = tensor.clone();
            tensor.storage_mut::<f32>().iter_mut().for_each(|value| *value += 1.0);
            assert!(copy.storage::<f32>().iter().enumerate().all(|(i, &value)| value == i as f32));
            assert!(tensor.storage::<f32>().iter().enumerate().all(|(i, &value)| value == i as f32 + 1.0));
        }
    }
}
