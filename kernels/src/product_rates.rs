//! Which compute type a device multiplies fastest in, by a measurement.

use std::time::Instant;

use burn::tensor::{Device, Tensor};

use crate::{ComputeType, linear_with};

/// Rows, inner and outer width of the product that is timed.
const SHAPE: [usize; 3] = [256, 1024, 1024];

/// Turns that the compute types take; the best of each counts.
const TURNS: usize = 8;

/// bfloat16 has to be faster by this much: it costs accuracy.
const WORTH_IT: f64 = 1.1;

/// How fast a device multiplies in f32 and in bfloat16, in GFLOP/s.
///
/// That there is an instruction for bfloat16 says little: there are processors on which it is no
/// faster than f32, and on one without it the products run in f32 of rounded operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProductRates {
    /// Of [`ComputeType::F32`].
    pub f32: f64,
    /// Of [`ComputeType::Bf16`].
    pub bf16: f64,
}

impl ProductRates {
    /// Times a product of a training step's kind on `device`, the compute types by turns; some tenths of a
    /// second.
    pub fn measure(device: &Device) -> Self {
        let [rows, inn, out] = SHAPE;
        let x = Tensor::<2>::ones([rows, inn], device);
        let weight = Tensor::<2>::ones([out, inn], device);
        let seconds = |compute| {
            let start = Instant::now();
            // One value fetched: a device may compute behind the program's back.
            let one = linear_with(x.clone(), weight.clone(), None, compute).slice([0..1, 0..1]).into_data();
            std::hint::black_box(one);
            start.elapsed().as_secs_f64()
        };
        let mut least = [f64::INFINITY; 2];
        for _ in 0..TURNS {
            for (least, compute) in least.iter_mut().zip([ComputeType::F32, ComputeType::Bf16]) {
                *least = least.min(seconds(compute));
            }
        }
        let operations = 2.0 * (rows * inn * out) as f64;
        let [f32, bf16] = least.map(|seconds| operations / seconds * 1e-9);
        Self { f32, bf16 }
    }

    /// The faster type: bfloat16 where it gains at least a tenth.
    pub fn fastest(self) -> ComputeType {
        if self.bf16 >= WORTH_IT * self.f32 { ComputeType::Bf16 } else { ComputeType::F32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_taken_where_it_gains() {
        let fastest = |f32, bf16| ProductRates { f32, bf16 }.fastest();
        assert_eq!(fastest(195.0, 397.0), ComputeType::Bf16);
        assert_eq!(fastest(201.0, 173.0), ComputeType::F32);
        assert_eq!(fastest(140.0, 141.0), ComputeType::F32, "noise is no gain");
    }

    #[test]
    fn a_measurement_has_both_rates() {
        let rates = ProductRates::measure(&Device::flex());
        assert!(rates.f32.is_finite() && rates.f32 > 0.0, "{rates:?}");
        assert!(rates.bf16.is_finite() && rates.bf16 > 0.0, "{rates:?}");
    }
}
