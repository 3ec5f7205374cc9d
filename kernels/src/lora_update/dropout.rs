//! Dropout whose mask is a function of (seed, element), so that nothing is stored.

/// Inverted dropout with a counter-based mask.
///
/// Element `i` (flat, row-major) is dropped when a hash of `(seed, i)` falls
/// below `p`; kept elements are scaled by `1 / (1 - p)`. The same seed gives the
/// same mask in the forward pass, in a recomputation and in the backward pass,
/// whatever the number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of dropping an element, in `0.0..1.0`.
    pub p: f32,
    /// Seed of the mask.
    pub seed: u64,
}

impl Dropout {
    /// The factor of element `index`: `0` when dropped, else `1 / (1 - p)`.
    pub fn factor(&self, index: u64) -> f32 {
        let mut one = [1.0];
        self.apply(&mut one, index);
        one[0]
    }

    /// Multiplies `values`, whose first one is element `start`, by their factors.
    #[inline(always)]
    pub(crate) fn apply(&self, values: &mut [f32], start: u64) {
        let scale = 1.0 / (1.0 - self.p);
        let threshold = (f64::from(self.p) * 4_294_967_296.0) as u32;
        let mut start = start;
        let mut rest = values;
        while !rest.is_empty() {
            // The low half of the index counts inside a run; the high half picks its keys.
            let in_run = (1u64 << 32) - (start & 0xffff_ffff);
            let (run, later) = rest.split_at_mut((in_run.min(rest.len() as u64)) as usize);
            let keys = keys(self.seed, start >> 32);
            let first = start as u32;
            for (i, value) in run.iter_mut().enumerate() {
                let keep = hash(first.wrapping_add(i as u32), keys) >= threshold;
                *value *= if keep { scale } else { 0.0 };
            }
            start += run.len() as u64;
            rest = later;
        }
    }
}

/// A dropout as a kernel on a device takes it: of elements whose index fits in 32 bits.
#[cfg(feature = "cube")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mask {
    pub keys: (u32, u32),
    /// Elements whose hash is below it are dropped.
    pub threshold: u32,
    /// Factor of those that are kept.
    pub keep: f32,
}

#[cfg(feature = "cube")]
impl Mask {
    /// The mask of the first `len` elements.
    ///
    /// # Panics
    /// If `len` is over 2³².
    pub fn new(dropout: Dropout, len: usize) -> Self {
        assert!(len as u64 <= 1 << 32, "dropout of {len} elements at once on a device");
        Self {
            keys: keys(dropout.seed, 0),
            threshold: (f64::from(dropout.p) * 4_294_967_296.0) as u32,
            keep: 1.0 / (1.0 - dropout.p),
        }
    }
}

/// Two 32-bit keys from the seed and the high half of the index (splitmix64's finaliser).
#[inline(always)]
fn keys(seed: u64, high: u64) -> (u32, u32) {
    let mut z = seed.wrapping_add(high.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z as u32, (z >> 32) as u32)
}

/// Two keyed rounds of a 32-bit finaliser: only 32-bit multiplies, so it vectorises everywhere.
#[inline(always)]
fn hash(index: u32, (first, second): (u32, u32)) -> u32 {
    mix(mix(index ^ first).wrapping_add(second))
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_share_it_should_and_keeps_the_mean() {
        const N: usize = 200_000;
        for p in [0.0, 0.05, 0.1, 0.5] {
            for seed in [0, 1, u64::MAX] {
                let mut values = vec![1f32; N];
                Dropout { p, seed }.apply(&mut values, 0);
                let dropped = values.iter().filter(|&&v| v == 0.0).count() as f64 / N as f64;
                // five standard deviations
                let spread = 5.0 * (f64::from(p) * (1.0 - f64::from(p)) / N as f64).sqrt();
                assert!((dropped - f64::from(p)).abs() <= spread, "p {p}, seed {seed}: {dropped}");
            }
        }
    }

    #[test]
    fn neighbours_and_seeds_are_independent() {
        const N: usize = 200_000;
        let mask = |seed| {
            let mut values = vec![1f32; N];
            Dropout { p: 0.5, seed }.apply(&mut values, 0);
            values
        };
        let (a, b) = (mask(7), mask(8));
        let both = |x: &[f32], y: &[f32]| {
            x.iter().zip(y).filter(|&(&x, &y)| x == 0.0 && y == 0.0).count() as f64 / x.len() as f64
        };
        for lag in [1, 2, 64, 576] {
            assert!((both(&a, &a[lag..]) * N as f64 / (N - lag) as f64 - 0.25).abs() < 0.01);
        }
        assert!((both(&a, &b) - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_piece_of_the_mask_is_the_mask_of_the_piece() {
        let dropout = Dropout { p: 0.3, seed: 11 };
        let start = (1u64 << 32) - 50; // crosses a change of keys
        let mut whole = vec![1f32; 100];
        dropout.apply(&mut whole, start);
        for (i, &value) in whole.iter().enumerate() {
            assert_eq!(value, dropout.factor(start + i as u64));
        }
    }
}
