//! Large buffers, whose memory is used again instead of going back to the system.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};
use rayon::prelude::*;

use crate::arena::{self, GRAIN, Piece};

/// Smaller buffers are left to the allocator, which keeps such pieces itself.
const POOLED_FROM: usize = 1 << 16;

/// f32 values on their way to becoming a tensor.
pub(crate) enum Values {
    Small(Vec<f32>),
    Pooled { piece: Piece, len: usize },
}

impl Values {
    /// `len` values that mean nothing; the caller writes every one of them.
    pub fn unset(len: usize) -> Self {
        let bytes = len * size_of::<f32>();
        if bytes < POOLED_FROM {
            // A value that was forgotten then shows in every result.
            return Self::Small(vec![f32::NAN; len]);
        }
        Self::Pooled { piece: Piece::take(bytes), len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut values = Self::unset(len);
        values.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
        values
    }

    /// The tensor over these values, without a copy.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        match self {
            Self::Small(values) => FlexTensor::from_data(TensorData::new(values, shape)),
            Self::Pooled { piece, len } => {
                // SAFETY: a mapping is initialised memory from its first to its last
                // byte, and the piece holds at least `len` values of 4 bytes.
                #[allow(unsafe_code)]
                let bytes = unsafe { Bytes::from_controller(Box::new(piece), len * size_of::<f32>()) };
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
            Self::Pooled { piece, len: values } => {
                assert!(len <= values * size_of::<f32>());
                // SAFETY: a mapping is initialised memory from its first to its last byte, and the
                // piece holds at least `len` of them.
                #[allow(unsafe_code)]
                unsafe {
                    Bytes::from_controller(Box::new(piece), len)
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
            Self::Pooled { piece, len } => &bytemuck::cast_slice(piece.bytes())[..*len],
        }
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(values) => values,
            Self::Pooled { piece, len } => &mut bytemuck::cast_slice_mut(piece.bytes_mut())[..*len],
        }
    }
}

impl AllocationController for Piece {
    fn alloc_align(&self) -> usize {
        GRAIN
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

/// Gives idle buffers back to the system.
///
/// Buffers that operations have finished with are kept for the next ones. After the
/// last step, or before a phase of another kind, a program can let them go.
pub fn release_idle_buffers() {
    arena::release_idle();
}

#[cfg(test)]
mod tests {
    use super::*;

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
