//! Arithmetic that touches no memory, to find out what a processor can do at most.
//!
//! Benches set the speed of a product against the rates measured with these loops.
//! Each keeps enough independent sums in registers to hide the latency of the
//! instruction, and returns what it computed, which [`mod@reference`] predicts.

use crate::isa::Isa;

/// Steps of one call: long enough that a call's own cost does not count.
const STEPS: usize = 1 << 16;

/// What a loop did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Multiplications and additions, both counted.
    pub operations: f64,
    /// Sum of all lanes.
    pub sum: f32,
}

/// Fused multiply-adds of f32 on this thread, by the vectors of [`Isa::active`].
pub fn f32_fma() -> Done {
    let (sum, lanes) = match Isa::active() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => x86::fma_256(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => x86::fma_512(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::fma(),
        _ => portable_fma(),
    };
    Done { operations: (2 * lanes * STEPS) as f64, sum }
}

/// Products of bfloat16 pairs summed in f32, on this thread; `None` where
/// [`Isa::active`] has no instruction for them.
pub fn bf16_dot() -> Option<Done> {
    match Isa::active() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 => {
            let (sum, lanes) = x86::dot_512();
            Some(Done { operations: (4 * lanes * STEPS) as f64, sum })
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Amx => {
            let (sum, lanes) = x86::dot_tiles();
            Some(Done { operations: (4 * lanes * STEPS) as f64, sum })
        }
        _ => None,
    }
}

/// The sums that the loops must give, one lane after the other.
pub mod reference {
    use super::{ADD, FACTOR, STEPS};

    /// Every lane of `f32_fma`, added up.
    pub fn f32_fma(lanes: usize) -> f64 {
        let lane = (0..STEPS).fold(1f32, |sum, _| sum.mul_add(FACTOR, ADD));
        f64::from(lane) * lanes as f64
    }

    /// Every lane of `bf16_dot`, added up: 1·1 + 1·1 at each step.
    pub fn bf16_dot(lanes: usize) -> f64 {
        (2 * STEPS * lanes) as f64
    }
}

/// Each step multiplies a sum by this and adds [`ADD`]: it tends to 2 and stays finite.
const FACTOR: f32 = 0.5;
const ADD: f32 = 1.0;

/// Whatever the compiler makes of it: `CAMELID_ISA=scalar`.
fn portable_fma() -> (f32, usize) {
    const LANES: usize = 32;
    let (factor, add) = std::hint::black_box((FACTOR, ADD));
    let mut sums = [1f32; LANES];
    for _ in 0..STEPS {
        for sum in &mut sums {
            // Without a fused instruction `mul_add` is a slow library call.
            *sum = if cfg!(target_arch = "aarch64") { sum.mul_add(factor, add) } else { *sum * factor + add };
        }
    }
    (sums.iter().sum(), LANES)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{ADD, FACTOR, STEPS};
    use crate::amx::{REGISTER_ROW_BYTES, REGISTER_ROWS, Registers};
    use crate::isa::Isa;

    /// Independent sums: at least latency times instructions per cycle (4 times 2). Many more than that,
    /// and the compiler keeps some of them in memory.
    const SUMS: usize = 12;

    #[allow(unsafe_code)]
    pub(super) fn fma_256() -> (f32, usize) {
        assert!(Isa::Avx2.is_available());
        // SAFETY: the processor has AVX2 and FMA, as just checked.
        (unsafe { fma_256_loop() }, 8 * SUMS)
    }

    #[allow(unsafe_code)]
    pub(super) fn fma_512() -> (f32, usize) {
        assert!(Isa::Avx512.is_available());
        // SAFETY: the processor has AVX-512 F, as just checked.
        (unsafe { fma_512_loop() }, 16 * SUMS)
    }

    #[allow(unsafe_code)]
    pub(super) fn dot_512() -> (f32, usize) {
        assert!(Isa::Avx512Bf16.is_available());
        // SAFETY: the processor has AVX-512 F and BF16, as just checked.
        (unsafe { dot_512_loop() }, 16 * SUMS)
    }

    /// Pairs that one instruction of the matrix unit adds to each of its sums.
    const PAIRS: usize = 16;

    /// The matrix unit's registers of sums: as many as a product uses.
    const TILES: usize = 4;

    #[allow(unsafe_code)]
    pub(super) fn dot_tiles() -> (f32, usize) {
        assert!(Isa::Amx.is_available());
        let ones = [half::bf16::from_f32(black_box(1.0)); REGISTER_ROWS * REGISTER_ROW_BYTES / 2];
        let mut sums = [[0f32; REGISTER_ROWS * REGISTER_ROW_BYTES / 4]; TILES];
        // SAFETY: the processor has the unit, as just checked, whose registers are given back; `ones` fills
        // two of them, and each of `sums` one.
        unsafe {
            let _registers = Registers::whole();
            asm!(
                "tileloadd tmm4, [{ones} + {side}]",
                "tileloadd tmm5, [{ones} + {side}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                ones = in(reg) &ones,
                side = in(reg) REGISTER_ROW_BYTES,
                options(nostack, readonly),
            );
            for _ in 0..STEPS / PAIRS {
                asm!(
                    "tdpbf16ps tmm0, tmm4, tmm5",
                    "tdpbf16ps tmm1, tmm4, tmm5",
                    "tdpbf16ps tmm2, tmm4, tmm5",
                    "tdpbf16ps tmm3, tmm4, tmm5",
                    options(nostack, nomem),
                );
            }
            asm!(
                "tilestored [{sums} + {side}], tmm0",
                "tilestored [{sums} + {side} + 1024], tmm1",
                "tilestored [{sums} + {side} + 2048], tmm2",
                "tilestored [{sums} + {side} + 3072], tmm3",
                sums = in(reg) &mut sums,
                side = in(reg) REGISTER_ROW_BYTES,
                options(nostack),
            );
        }
        (sums.as_flattened().iter().sum(), sums.as_flattened().len())
    }

    #[target_feature(enable = "avx2,fma")]
    fn fma_256_loop() -> f32 {
        let (factor, add) = black_box((FACTOR, ADD));
        let (factor, add) = (_mm256_set1_ps(factor), _mm256_set1_ps(add));
        let mut sums = [_mm256_set1_ps(1.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, add);
            }
        }
        // Every lane of every register went through the same steps.
        sums.iter().map(|&sum| 8.0 * _mm256_cvtss_f32(sum)).sum()
    }

    #[target_feature(enable = "avx512f")]
    fn fma_512_loop() -> f32 {
        let (factor, add) = black_box((FACTOR, ADD));
        let (factor, add) = (_mm512_set1_ps(factor), _mm512_set1_ps(add));
        let mut sums = [_mm512_set1_ps(1.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, add);
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn dot_512_loop() -> f32 {
        let ones = _mm512_set1_ps(black_box(1.0));
        let ones = _mm512_cvtne2ps_pbh(ones, ones);
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, ones, ones);
            }
        }
        sums.iter().map(|&sum| _mm512_reduce_add_ps(sum)).sum()
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;
    use std::hint::black_box;

    use super::{ADD, FACTOR, STEPS};

    /// Independent sums: latency times instructions per cycle is 4 times 4 on the widest processors.
    const SUMS: usize = 24;

    #[allow(unsafe_code)]
    pub(super) fn fma() -> (f32, usize) {
        // SAFETY: every 64-bit Arm processor has NEON.
        (unsafe { fma_loop() }, 4 * SUMS)
    }

    #[target_feature(enable = "neon")]
    fn fma_loop() -> f32 {
        let (factor, add) = black_box((FACTOR, ADD));
        let (factor, add) = (vdupq_n_f32(factor), vdupq_n_f32(add));
        let mut sums = [vdupq_n_f32(1.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = vfmaq_f32(add, *sum, factor);
            }
        }
        sums.iter().map(|&sum| vaddvq_f32(sum)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(done: Done, operations_per_lane: usize, reference: impl Fn(usize) -> f64) {
        let lanes = done.operations as usize / (operations_per_lane * STEPS);
        let want = reference(lanes);
        assert!(((f64::from(done.sum) - want) / want).abs() < 1e-6, "{} for {want}", done.sum);
    }

    #[test]
    fn the_loops_compute_what_they_claim() {
        agrees(f32_fma(), 2, reference::f32_fma);
        if let Some(done) = bf16_dot() {
            agrees(done, 4, reference::bf16_dot);
        }
    }

    #[test]
    fn every_instruction_set_of_the_processor_gives_the_same_lanes() {
        let (sum, lanes) = portable_fma();
        assert!((f64::from(sum) - reference::f32_fma(lanes)).abs() < 1e-3);
        #[cfg(target_arch = "aarch64")]
        {
            let (sum, lanes) = neon::fma();
            assert!((f64::from(sum) - reference::f32_fma(lanes)).abs() < 1e-3);
        }
        #[cfg(target_arch = "x86_64")]
        for (isa, run) in [(Isa::Avx2, x86::fma_256 as fn() -> (f32, usize)), (Isa::Avx512, x86::fma_512)] {
            if isa.is_available() {
                let (sum, lanes) = run();
                assert!((f64::from(sum) - reference::f32_fma(lanes)).abs() < 1e-3, "{isa}");
            }
        }
    }
}
