//! Loops that vectorise: run-time choice of the instruction set, sums in lanes, and `exp`.
//!
//! Everything marked `#[inline(always)]` is compiled once per instruction set,
//! inside [`vectorised`]. Sums run in a fixed number of lanes in a fixed order,
//! so a result never depends on the number of threads.

// Loops over the index of a lane are what the vectoriser turns into registers.
#![allow(clippy::needless_range_loop)]

use half::bf16;

use crate::isa::Isa;

/// Partial sums of a reduction: one 512-bit or two 256-bit registers.
pub(crate) const LANES: usize = 16;

/// Runs `f` compiled for the vectors of [`Isa::active`].
///
/// Give it an `#[inline(always)]` closure, else the loops inside stay baseline.
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    vectorised_for(Isa::active(), f)
}

/// As [`vectorised`], for a given instruction set, which must be available.
#[inline(always)]
pub(crate) fn vectorised_for<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::x86::{V3, V4};

        match isa {
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {
                if let Some(simd) = V4::try_new() {
                    return simd.vectorize(f);
                }
            }
            Isa::Avx2 => {
                if let Some(simd) = V3::try_new() {
                    return simd.vectorize(f);
                }
            }
            Isa::Scalar | Isa::Neon => {}
        }
    }
    // Elsewhere the loops are compiled once, for what the target guarantees.
    let _ = isa;
    f()
}

/// Folds `f` over two equally long slices in lanes, then adds the lanes pairwise.
#[inline(always)]
pub(crate) fn sum2<T: Copy>(a: &[T], b: &[f32], f: impl Fn(f32, T, f32) -> f32) -> f32 {
    let b = &b[..a.len()];
    // Two sets of lanes, so that one addition need not wait for the one before.
    let mut first = [0f32; LANES];
    let mut second = [0f32; LANES];
    let (a_pairs, a_rest) = a.as_chunks::<{ 2 * LANES }>();
    let (b_pairs, b_rest) = b.as_chunks::<{ 2 * LANES }>();
    for (x, y) in a_pairs.iter().zip(b_pairs) {
        for i in 0..LANES {
            first[i] = f(first[i], x[i], y[i]);
            second[i] = f(second[i], x[LANES + i], y[LANES + i]);
        }
    }
    for (i, (&x, &y)) in a_rest.iter().zip(b_rest).enumerate() {
        first[i % LANES] = f(first[i % LANES], x, y);
    }
    for i in 0..LANES {
        first[i] += second[i];
    }
    add_lanes(first)
}

/// Σ aᵢ·bᵢ.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum2(a, b, |sum, x, y| x.mul_add(y, sum))
}

/// As [`dot`] of the widened values, with the same bits: they are widened where they are multiplied.
#[inline(always)]
pub(crate) fn dot_bf16(a: &[bf16], b: &[f32]) -> f32 {
    sum2(a, b, |sum, x, y| f32::from_bits(u32::from(x.to_bits()) << 16).mul_add(y, sum))
}

/// The largest element; −∞ for none.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    rest.iter().chain(&lanes).fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

/// Adds lanes pairwise, in a fixed order.
#[inline(always)]
pub(crate) fn add_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Replaces each value by `exp(value - shift)` and returns their sum.
#[inline(always)]
pub(crate) fn exp_in_place(values: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - shift);
            lanes[i] += chunk[i];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *value = exp(*value - shift);
        *lane += *value;
    }
    add_lanes(lanes)
}

/// `exp(x)` within 2 units in the last place, for any `x`, without a branch.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; a polynomial of degree 6 gives exp(r)
/// (coefficients of Cephes' `expf`). 2ⁿ is applied in two halves, so results
/// beyond the range become ∞ and those below it denormal or zero. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it leaves an integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons rather than `clamp`, so that NaN passes through.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN2_HIGH, x);
    let r = (-n).mul_add(LN2_LOW, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2ⁿ for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut worst = 0f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let want = f64::from(x).exp();
            let unit = f64::from((want as f32).next_up() - want as f32);
            worst = worst.max((f64::from(exp(x)) - want).abs() / unit);
        }
        assert!(worst < 2.0, "worst error {worst} ulp");
    }

    #[test]
    fn exp_at_the_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-100.0) > 0.0, "denormal results are kept");
        assert!((exp(88.7) / 88.7f32.exp() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn sums_and_maxima_of_every_short_length() {
        for n in 0..100 {
            let a: Vec<f32> = (0..n).map(|i| i as f32 - 30.0).collect();
            let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
            let want: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            assert!((f64::from(vectorised(|| dot(&a, &b))) - want).abs() < 1e-2);
            let halves: Vec<bf16> = a.iter().map(|&a| bf16::from_f32(a * 1.001)).collect();
            let wide: Vec<f32> = halves.iter().map(|a| a.to_f32()).collect();
            let of_halves = vectorised(
                #[inline(always)]
                || dot_bf16(&halves, &b),
            );
            assert_eq!(of_halves.to_bits(), vectorised(|| dot(&wide, &b)).to_bits());
            let largest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(vectorised(|| max(&a)), largest);
            let mut e: Vec<f32> = a.iter().map(|v| v * 0.01).collect();
            let want: f64 = e.iter().map(|&v| f64::from(v - 0.25).exp()).sum();
            let got = vectorised(|| exp_in_place(&mut e, 0.25));
            assert!((f64::from(got) - want).abs() < 1e-4, "{n}: {got} {want}");
        }
    }
}
