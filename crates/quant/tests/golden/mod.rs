//! The tensors of golden files.
#![allow(dead_code)] // each test binary uses its own part

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// Tensor values with their element type.
#[derive(Clone, Debug)]
pub enum Array {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    U8(Vec<u8>),
    I32(Vec<i32>),
}

impl Array {
    pub fn f32(&self) -> Vec<f32> {
        match self {
            Array::F32(v) => v.clone(),
            Array::F16(v) => v.iter().map(|v| v.to_f32()).collect(),
            Array::Bf16(v) => v.iter().map(|v| v.to_f32()).collect(),
            other => panic!("not floats: {other:?}"),
        }
    }

    pub fn u8(&self) -> &[u8] {
        match self {
            Array::U8(v) => v,
            other => panic!("not bytes: {other:?}"),
        }
    }

    /// These values rounded to the element type of `self`, compared bit for bit;
    /// NaNs are equal to each other.
    pub fn equals_rounded(&self, values: &[f32]) -> bool {
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        let expected = self.f32();
        expected.len() == values.len()
            && expected.iter().zip(values).all(|(&expected, &value)| {
                same(
                    expected,
                    match self {
                        Array::F16(_) => f16::from_f32(value).to_f32(),
                        Array::Bf16(_) => bf16::from_f32(value).to_f32(),
                        _ => value,
                    },
                )
            })
    }
}

/// All tensors of a file: shape and values by name.
pub fn load(path: &Path) -> HashMap<String, (Vec<usize>, Array)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let data = view.data();
            let words = || data.as_chunks::<4>().0.iter();
            let halves = || data.as_chunks::<2>().0.iter().map(|&h| u16::from_le_bytes(h));
            let array = match view.dtype() {
                Dtype::F32 => Array::F32(words().map(|&w| f32::from_le_bytes(w)).collect()),
                Dtype::I32 => Array::I32(words().map(|&w| i32::from_le_bytes(w)).collect()),
                Dtype::F16 => Array::F16(halves().map(f16::from_bits).collect()),
                Dtype::BF16 => Array::Bf16(halves().map(bf16::from_bits).collect()),
                Dtype::U8 => Array::U8(data.to_vec()),
                other => panic!("{name}: {other:?}"),
            };
            (name.to_owned(), (view.shape().to_vec(), array))
        })
        .collect()
}

/// Equal bit for bit, all NaNs alike.
pub fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}
