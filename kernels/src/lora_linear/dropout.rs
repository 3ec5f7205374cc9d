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
    #[inline]
    pub fn factor(&self, index: u64) -> f32 {
        let keep = hash32(self.seed, index) >= self.threshold();
        if keep { self.scale() } else { 0.0 }
    }

    /// The factor of kept elements, `1 / (1 - p)`.
    #[inline]
    pub fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    /// Hashes below this number drop their element.
    #[inline]
    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }
}

/// 32 well-mixed bits of `(seed, index)`: splitmix64's finaliser over a Weyl sequence.
#[inline]
fn hash32(seed: u64, index: u64) -> u32 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}
