//! From logits to one token.
//!
//! Each filter is a function of its arguments alone. Candidates are kept in
//! falling order of logit, equal logits in rising order of id, so that results
//! do not depend on how a sort treats ties.

use std::borrow::Cow;
use std::collections::BTreeSet;

use camelid_chat::GenerateOptions;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit.
    pub logit: f32,
}

/// The token with the largest logit, the lowest id among equals.
pub fn argmax(logits: &[f32]) -> u32 {
    const LANES: usize = 16;
    // Lanes make vectors of it; where the largest is, a second look tells.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &logit)| *lane = larger(*lane, logit));
    }
    let largest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0) as u32
}

/// Makes the tokens of `seen` less likely: a positive logit is divided by
/// `penalty`, a negative one multiplied, each token once however often it occurs.
pub fn apply_repetition_penalty(logits: &mut [f32], seen: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    for id in seen.iter().collect::<BTreeSet<_>>() {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
}

/// All tokens with finite logits, likeliest first.
pub fn candidates(logits: &[f32]) -> Vec<Candidate> {
    likeliest(logits, logits.len())
}

/// The `most` likeliest of [`candidates`], all of them for 0.
pub(crate) fn likeliest(logits: &[f32], most: usize) -> Vec<Candidate> {
    // One number that falls in logit and then rises in id: sorting such is several times faster.
    let key = |(id, logit): (usize, &f32)| {
        let bits = logit.to_bits();
        let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(!rising) << 32 | id as u64
    };
    let mut keys: Vec<u64> =
        logits.iter().enumerate().filter(|(_, logit)| logit.is_finite()).map(key).collect();
    if most < keys.len() && most > 0 {
        keys.select_nth_unstable(most - 1);
        keys.truncate(most);
    }
    keys.sort_unstable();
    keys.iter().map(|key| *key as u32).map(|id| Candidate { id, logit: logits[id as usize] }).collect()
}

/// Divides every logit by `temperature`, which is above 0. The best logit is taken
/// off first, which changes no probability: the best stays at 0, and however small
/// the temperature is, the others can only fall to −∞.
pub fn apply_temperature(candidates: &mut [Candidate], temperature: f32) {
    let best = candidates.first().map_or(0.0, |c| c.logit);
    for c in candidates {
        c.logit = (c.logit - best) / temperature;
    }
}

/// Keeps the `k` likeliest; 0 keeps all.
pub fn apply_top_k(candidates: &mut Vec<Candidate>, k: usize) {
    if k > 0 {
        candidates.truncate(k);
    }
}

/// Keeps the fewest likeliest whose probabilities sum to at least `p`
/// (Holtzman et al. 2020); at least one stays.
pub fn apply_top_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p >= 1.0 {
        return;
    }
    let mut sum = 0.0;
    let keep = probabilities(candidates)
        .iter()
        .position(|probability| {
            sum += probability;
            sum >= f64::from(p)
        })
        .map_or(candidates.len(), |last| last + 1);
    candidates.truncate(keep.max(1));
}

/// Keeps those at least `p` times as probable as the likeliest (Nguyen et al. 2024);
/// 0 keeps all.
pub fn apply_min_p(candidates: &mut Vec<Candidate>, p: f32) {
    if p == 0.0 {
        return;
    }
    let Some(best) = candidates.first().map(|c| f64::from(c.logit)) else {
        return;
    };
    // probability / best probability = exp(logit − best logit): no sum needed.
    candidates.retain(|c| (f64::from(c.logit) - best).exp() >= f64::from(p));
}

/// Softmax of the candidates' logits.
fn probabilities(candidates: &[Candidate]) -> Vec<f64> {
    let best = candidates.first().map_or(0.0, |c| f64::from(c.logit));
    let weights: Vec<f64> = candidates.iter().map(|c| (f64::from(c.logit) - best).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Chooses tokens by the rules of [`GenerateOptions`].
#[derive(Clone, Debug)]
pub struct Sampler {
    options: GenerateOptions,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler whose choices depend on the options and their seed alone.
    pub fn new(options: &GenerateOptions) -> Self {
        Self { options: options.clone(), rng: ChaCha8Rng::seed_from_u64(options.seed) }
    }

    /// The token to come after `seen`, given the logits of all tokens.
    pub fn choose<'a>(&mut self, logits: impl Into<Cow<'a, [f32]>>, seen: &[u32]) -> u32 {
        let (o, mut logits) = (&self.options, logits.into());
        if o.repetition_penalty != 1.0 {
            apply_repetition_penalty(logits.to_mut(), seen, o.repetition_penalty);
        }
        if o.temperature == 0.0 {
            return argmax(&logits);
        }
        // Temperature keeps the order: what top-k takes off can go first.
        let mut kept = likeliest(&logits, if o.top_k > 0 { o.top_k } else { logits.len() });
        apply_temperature(&mut kept, o.temperature);
        apply_top_k(&mut kept, o.top_k);
        apply_top_p(&mut kept, o.top_p);
        apply_min_p(&mut kept, o.min_p);

        // 53 bits: every double of its grid in [0, 1) is equally likely.
        let unit = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut sum = 0.0;
        for (c, probability) in kept.iter().zip(probabilities(&kept)) {
            sum += probability;
            if unit < sum {
                return c.id;
            }
        }
        // Rounding can leave the sum just below 1.
        kept.last().map_or_else(|| argmax(&logits), |c| c.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(logits: &[f32]) -> Vec<Candidate> {
        candidates(logits)
    }

    fn ids(candidates: &[Candidate]) -> Vec<u32> {
        candidates.iter().map(|c| c.id).collect()
    }

    /// Logits of given probabilities.
    fn logs(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn argmax_takes_the_lowest_id_among_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, f32::NAN]), 1);
    }

    #[test]
    fn candidates_fall_in_logit_and_rise_in_id() {
        assert_eq!(ids(&of(&[1.0, 2.0, 1.0, f32::NEG_INFINITY])), [1, 0, 2]);
    }

    #[test]
    fn candidates_are_ordered_through_zero_and_cut_where_asked() {
        let logits = [-0.5, 0.0, 2.0, -0.0, f32::NAN, -3.0, 2.0, 1e-40];
        assert_eq!(ids(&of(&logits)), [2, 6, 7, 1, 3, 0, 5]);
        for most in 1..9 {
            let all = of(&logits);
            assert_eq!(likeliest(&logits, most), all[..most.min(all.len())]);
        }
    }

    #[test]
    fn repetition_penalty_acts_once_per_token_and_by_sign() {
        let mut logits = vec![2.0, -2.0, 2.0];
        apply_repetition_penalty(&mut logits, &[0, 0, 1, 99], 2.0);
        assert_eq!(logits, [1.0, -4.0, 2.0]);
    }

    #[test]
    fn top_k_keeps_k_and_zero_keeps_all() {
        let mut kept = of(&[0.0, 3.0, 1.0]);
        apply_top_k(&mut kept, 2);
        assert_eq!(ids(&kept), [1, 2]);
        apply_top_k(&mut kept, 0);
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn top_p_keeps_the_token_that_crosses_the_sum() {
        let logits = logs(&[0.5, 0.3, 0.15, 0.05]);
        for (p, expected) in [(0.4, 1), (0.7, 2), (0.9, 3), (1.0, 4), (1e-6, 1)] {
            let mut kept = of(&logits);
            apply_top_p(&mut kept, p);
            assert_eq!(kept.len(), expected, "top_p {p}");
        }
    }

    #[test]
    fn min_p_is_relative_to_the_likeliest() {
        let logits = logs(&[0.5, 0.3, 0.15, 0.05]);
        for (p, expected) in [(0.0, 4), (0.2, 3), (0.5, 2), (1.0, 1)] {
            let mut kept = of(&logits);
            apply_min_p(&mut kept, p);
            assert_eq!(kept.len(), expected, "min_p {p}");
        }
    }

    #[test]
    fn sampling_follows_the_probabilities_and_repeats_with_its_seed() {
        let logits = logs(&[0.6, 0.3, 0.1]);
        let options = GenerateOptions { temperature: 1.0, seed: 5, ..Default::default() };
        let draw = || {
            let mut sampler = Sampler::new(&options);
            (0..20_000).map(|_| sampler.choose(logits.clone(), &[])).collect::<Vec<_>>()
        };
        let drawn = draw();
        assert_eq!(drawn, draw());
        for (id, p) in [(0, 0.6), (1, 0.3), (2, 0.1)] {
            let share = drawn.iter().filter(|d| **d == id).count() as f64 / drawn.len() as f64;
            assert!((share - p).abs() < 0.015, "token {id}: {share}");
        }
    }

    #[test]
    fn the_smallest_temperature_takes_the_likeliest_token() {
        // The lowest id is not the best; dividing these by 1e-45 overflows.
        let logits = vec![3.0, 9.0, -4.0, 8.9];
        for (temperature, min_p, top_p) in
            [(1e-45, 0.0, 1.0), (f32::MIN_POSITIVE, 0.1, 1.0), (1e-38, 0.0, 0.9)]
        {
            let options = GenerateOptions { temperature, min_p, top_p, ..Default::default() };
            let mut sampler = Sampler::new(&options);
            for _ in 0..50 {
                assert_eq!(sampler.choose(logits.clone(), &[]), 1, "{options:?}");
            }
        }
        let mut kept = of(&[1.0, 9.0]);
        apply_temperature(&mut kept, 1e-45);
        assert_eq!((kept[0].logit, kept[1].logit), (0.0, f32::NEG_INFINITY));
        apply_min_p(&mut kept, 0.0);
        assert_eq!(kept.len(), 2);
    }

    #[test]
    fn high_temperature_flattens_and_low_sharpens() {
        let logits = logs(&[0.6, 0.4]);
        let share = |temperature| {
            let mut sampler = Sampler::new(&GenerateOptions { temperature, ..Default::default() });
            (0..5000).filter(|_| sampler.choose(logits.clone(), &[]) == 0).count() as f64 / 5000.0
        };
        assert!(share(0.1) > 0.95);
        assert!((share(100.0) - 0.5).abs() < 0.03);
    }
}
