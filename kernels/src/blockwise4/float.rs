//! The element types that 4-bit blocks are made from and decoded to.

use std::mem::MaybeUninit;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{Packed4View, cpu};
use crate::isa::Isa;

/// `f32`, `f16` or `bf16`: what can be quantised to 4 bits, and dequantised to.
pub trait Float: Copy + Send + Sync + private::Kernels {}

impl Float for f32 {}
impl Float for f16 {}
impl Float for bf16 {}

pub(crate) mod private {
    use super::*;

    /// The kernels' side of [`Float`], which nothing else can implement.
    pub trait Kernels: Sized {
        /// The values as f32, which is exact; `buffer` (as long as `values`) holds them
        /// where they have to be widened.
        fn widened<'a>(values: &'a [Self], buffer: &'a mut [f32]) -> &'a [f32];

        /// See [`Packed4View::dequantize_range`]. Writes every element of `out`.
        fn dequantize_range(isa: Isa, view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<Self>]);
    }
}

impl private::Kernels for f32 {
    #[inline(always)]
    fn widened<'a>(values: &'a [f32], _buffer: &'a mut [f32]) -> &'a [f32] {
        values
    }

    fn dequantize_range(isa: Isa, view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f32>]) {
        cpu::dequantize_range_f32(isa, view, start, out);
    }
}

impl private::Kernels for f16 {
    fn widened<'a>(values: &'a [f16], buffer: &'a mut [f32]) -> &'a [f32] {
        values.convert_to_f32_slice(buffer);
        buffer
    }

    fn dequantize_range(isa: Isa, view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<f16>]) {
        cpu::dequantize_range_f16(isa, view, start, out);
    }
}

impl private::Kernels for bf16 {
    #[inline(always)]
    fn widened<'a>(values: &'a [bf16], buffer: &'a mut [f32]) -> &'a [f32] {
        for (wide, value) in buffer.iter_mut().zip(values) {
            *wide = f32::from_bits(u32::from(value.to_bits()) << 16);
        }
        buffer
    }

    fn dequantize_range(isa: Isa, view: &Packed4View<'_>, start: usize, out: &mut [MaybeUninit<bf16>]) {
        cpu::dequantize_range_bf16(isa, view, start, out);
    }
}
