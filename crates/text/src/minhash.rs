//! Near-duplicates: MinHash over runs of five words (Broder 1997), found by bands of the signature.

use std::hash::Hasher;

/// Bands of a signature, of ten values each. Two texts of Jaccard similarity `s` meet in some band with probability
/// `1 − (1 − s¹⁰)⁹`: 0.04 at 0.58, 0.64 at 0.8, 0.98 at 0.9.
pub const BANDS: usize = 9;
const IN_BAND: usize = 10;
const SIZE: usize = BANDS * IN_BAND;

/// Words of a run.
const RUN: usize = 5;

/// What is kept of a text: a byte of each of its 90 smallest hashes.
pub type Signature = [u8; SIZE];

/// A text's signature, and a fingerprint of each of its bands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// What is kept to compare it.
    pub signature: Signature,
    /// What it is found by: texts that are alike share one of them.
    pub bands: [u64; BANDS],
}

impl Sketch {
    /// Of texts one after the other, e.g. all turns of a conversation. `None` where there are fewer words than make ten runs: short
    /// texts are nearly alike by chance.
    pub fn of(texts: &[&str]) -> Option<Self> {
        let words: Vec<u64> = texts.iter().flat_map(|text| words(text)).collect();
        if words.len() < RUN + 9 {
            return None;
        }
        let mut smallest = [u64::MAX; SIZE];
        for run in words.windows(RUN) {
            let hash = run.iter().fold(0, |hash: u64, word| mixed(hash.rotate_left(5) ^ word));
            // The permutations: an odd factor and an offset of its own for each.
            for (place, least) in smallest.iter_mut().enumerate() {
                let factor = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c16) | 1;
                let permuted = hash.wrapping_mul(factor).wrapping_add(factor << 17);
                let permuted = permuted ^ (permuted >> 32);
                *least = (*least).min(permuted);
            }
        }
        let mut signature = [0; SIZE];
        for (byte, least) in signature.iter_mut().zip(&smallest) {
            *byte = mixed(*least) as u8;
        }
        let mut bands = [0; BANDS];
        for (number, (band, values)) in bands.iter_mut().zip(smallest.chunks(IN_BAND)).enumerate() {
            *band = values.iter().fold(number as u64, |hash, value| mixed(hash ^ value).rotate_left(7));
        }
        Some(Self { signature, bands })
    }
}

/// The share of equal runs in two texts, as their signatures tell it. Bytes agree by chance once in 256.
pub fn similarity(a: &Signature, b: &Signature) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / SIZE as f64;
    ((equal - 1.0 / 256.0) / (1.0 - 1.0 / 256.0)).max(0.0)
}

/// The words of a text in small letters, hashed; each character of scripts without spaces is one.
fn words(text: &str) -> Vec<u64> {
    let mut words = Vec::new();
    let mut word: Option<std::hash::DefaultHasher> = None;
    for c in text.chars().flat_map(char::to_lowercase) {
        let alone = matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{0e00}'..='\u{0eff}');
        if c.is_alphanumeric() && !alone {
            word.get_or_insert_default().write_u32(c as u32);
            continue;
        }
        words.extend(word.take().map(|word| word.finish()));
        if alone {
            words.push(mixed(u64::from(c as u32)));
        }
    }
    words.extend(word.map(|word| word.finish()));
    words
}

/// The finaliser of SplitMix64.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: std::ops::Range<usize>) -> String {
        words.map(|word| format!("word{word} ")).collect()
    }

    /// The Jaccard similarity of runs 0..n and m..n+m is (n − m) / (n + m), five words a run aside.
    #[test]
    fn similarity_is_estimated() {
        let a = Sketch::of(&[&text(0..1004)]).unwrap();
        for shift in [0, 50, 100, 300, 1004] {
            let b = Sketch::of(&[&text(shift..1004 + shift)]).unwrap();
            let exact = (1000.0 - shift as f64).max(0.0) / (1000.0 + shift as f64);
            let estimated = similarity(&a.signature, &b.signature);
            // Four standard errors of 90 draws.
            assert!(
                (estimated - exact).abs() < 4.0 * (0.25_f64 / 90.0).sqrt(),
                "{shift}: {estimated}, {exact}"
            );
        }
    }

    #[test]
    fn alike_texts_share_a_band_and_others_do_not() {
        let shares = |a: &str, b: &str| {
            let (a, b) = (Sketch::of(&[a]).unwrap(), Sketch::of(&[b]).unwrap());
            a.bands.iter().zip(&b.bands).any(|(a, b)| a == b)
        };
        assert!(shares(&text(0..500), &text(0..500).to_uppercase()));
        assert!(shares(&text(0..500), &text(5..500)));
        assert!(!shares(&text(0..500), &text(400..900)));
        assert!(Sketch::of(&["yes"]).is_none());
    }
}
