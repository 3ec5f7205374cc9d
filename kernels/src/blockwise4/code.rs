//! The three 16-entry code books and the rules that choose an entry.

use crate::blocks::Rounding;

/// A 4-bit code book: which 16 numbers in `[-1, 1]` the codes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code4 {
    /// 4-bit NormalFloat: quantiles of a standard normal, with an exact zero
    /// (QLoRA, section 3 and appendix E).
    Nf4,
    /// 4-bit float with bitsandbytes' magnitudes; bit 3 is the sign.
    Fp4,
    /// Symmetric integers in offset binary: code `i` stands for `(i - 8) / 7`.
    ///
    /// Scaled by `absmax` a value never goes below −1, so code 0 (−8/7) is never
    /// produced: the used codes are the 15 integers −7…7.
    Int4,
}

const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Magnitudes by the low three bits of an FP4 code.
const FP4_MAGNITUDES: [f32; 8] =
    [0.0, 0.005_208_333_5, 0.666_666_7, 1.0, 0.333_333_34, 0.5, 0.166_666_67, 0.25];

const FP4: [f32; 16] = {
    let mut table = [0.0; 16];
    let mut i = 0;
    while i < 8 {
        table[i] = FP4_MAGNITUDES[i];
        // Code 8 is +0 in bitsandbytes' table, not −0.
        table[i + 8] = if i == 0 { 0.0 } else { -FP4_MAGNITUDES[i] };
        i += 1;
    }
    table
};

const INT4: [f32; 16] = {
    let mut table = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        table[i] = (i as f32 - 8.0) / 7.0;
        i += 1;
    }
    table
};

/// The literals of bitsandbytes' `dQuantizeNF4`; up to two units in the last
/// place off the midpoints of [`NF4`].
const NF4_CUDA_THRESHOLDS: [f32; 15] = [
    -0.848_096_4,
    -0.610_632_9,
    -0.459_995_27,
    -0.339_679_42,
    -0.234_607_4,
    -0.137_911_74,
    -0.045_525_018,
    0.039_790_15,
    0.120_255_25,
    0.203_521_25,
    0.292_013_76,
    0.389_312_54,
    0.501_663_45,
    0.642_786_9,
    0.861_478_45,
];

/// The literals of bitsandbytes' `dQuantizeFP4`, applied to magnitudes.
const FP4_CUDA_THRESHOLDS: [f32; 7] =
    [0.002_604_17, 0.085_937_5, 0.208_333_33, 0.291_666_66, 0.416_666_7, 0.583_333, 0.833_333_3];

/// FP4 codes in ascending order of the value they stand for; the two zeros are
/// told apart by the rounding rule.
const FP4_ASCENDING: [u8; 16] = [11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3];
const FP4_ASCENDING_BNB_CPU: [u8; 16] = [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3];
const IN_ORDER: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

impl Code4 {
    /// The numbers that the 16 codes stand for.
    pub fn table(self) -> &'static [f32; 16] {
        match self {
            Code4::Nf4 => &NF4,
            Code4::Fp4 => &FP4,
            Code4::Int4 => &INT4,
        }
    }

    /// The widest distance between neighbouring codes that lie within `[-1, 1]`.
    ///
    /// No value is further from its code than half of it times `absmax`.
    pub fn widest_gap(self) -> f32 {
        let mut inside: Vec<f32> = self.table().iter().copied().filter(|v| v.abs() <= 1.0).collect();
        inside.sort_by(f32::total_cmp);
        inside.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f32::max)
    }
}

/// A rounding rule as data: bucket = number of thresholds strictly below the
/// normalised value, code = `order[bucket]`.
pub(crate) struct Decision {
    pub thresholds: [f32; 15],
    pub order: [u8; 16],
}

impl Decision {
    pub fn new(code: Code4, rounding: Rounding) -> Self {
        match (code, rounding) {
            (Code4::Nf4, Rounding::Cuda) => Decision { thresholds: NF4_CUDA_THRESHOLDS, order: IN_ORDER },
            (Code4::Fp4, Rounding::Cuda) => {
                Decision { thresholds: fp4_cuda_thresholds(), order: FP4_ASCENDING }
            }
            (Code4::Fp4, Rounding::BnbCpu) => Decision::by_midpoints(code, FP4_ASCENDING_BNB_CPU),
            (Code4::Nf4, Rounding::BnbCpu) | (Code4::Int4, _) => Decision::by_midpoints(code, IN_ORDER),
        }
    }

    fn by_midpoints(code: Code4, order: [u8; 16]) -> Self {
        let table = code.table();
        let value = |bucket: usize| table[usize::from(order[bucket])];
        Decision { thresholds: std::array::from_fn(|i| (value(i) + value(i + 1)) / 2.0), order }
    }

    /// The code of one normalised value. NaN lies above no threshold.
    pub fn code(&self, normalised: f32) -> u8 {
        let bucket = self.thresholds.iter().filter(|&&threshold| normalised > threshold).count();
        self.order[bucket]
    }
}

/// `dQuantizeFP4` compares magnitudes, so on the negative side a tie belongs to
/// the upper bucket: `v >= -t`, which is `v > next_down(-t)`. Likewise 0 itself
/// belongs to the positive zero.
fn fp4_cuda_thresholds() -> [f32; 15] {
    std::array::from_fn(|i| match i {
        0..=6 => (-FP4_CUDA_THRESHOLDS[6 - i]).next_down(),
        7 => 0f32.next_down(),
        _ => FP4_CUDA_THRESHOLDS[i - 8],
    })
}
