//! What a forward pass must know beyond its input.

/// Whether dropout is active, with which seed, and whether adapters take part.
///
/// The same seed gives the same masks, so a recomputed forward pass repeats the
/// first one exactly; a trainer passes a new seed for every micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardContext {
    /// Seed of every dropout mask of this pass; `None` turns dropout off.
    pub dropout_seed: Option<u64>,
    /// Whether adapters take part. Without them a model is its base, to the bit: a reference
    /// model that costs no memory.
    pub adapters: bool,
}

impl ForwardContext {
    /// No dropout.
    pub const fn evaluation() -> Self {
        Self { dropout_seed: None, adapters: true }
    }

    /// Dropout with masks drawn from `seed`.
    pub const fn training(seed: u64) -> Self {
        Self { dropout_seed: Some(seed), adapters: true }
    }

    /// The same pass through the base model alone.
    pub const fn without_adapters(self) -> Self {
        Self { adapters: false, ..self }
    }
}

impl Default for ForwardContext {
    fn default() -> Self {
        Self::evaluation()
    }
}

/// 64-bit FNV-1a of a module path: the site's identity in seeds, the same in
/// every process.
pub(crate) fn site_id(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Joins a seed with a site so that neighbouring inputs give unrelated outputs
/// (the finaliser of SplitMix64, Steele et al. 2014).
pub(crate) fn mix(seed: u64, site: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(site);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
