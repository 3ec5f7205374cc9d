//! Which examples are asked when not all are.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Indices of `limit` examples, spread over the groups in proportion to their sizes, in the
/// examples' own order. The choice follows from the seed, and a larger limit keeps what a
/// smaller one chose.
///
/// Each group is shuffled and its members get the places (i + u) / size with one random u a
/// group; the lowest places win.
pub(super) fn sample(groups: &[String], limit: usize, seed: u64) -> Vec<usize> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(index);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut places = Vec::with_capacity(groups.len());
    for mut group in members.into_values() {
        group.shuffle(&mut random);
        let (size, offset) = (group.len() as f64, random.random::<f64>());
        places.extend(group.into_iter().enumerate().map(|(i, index)| ((i as f64 + offset) / size, index)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<usize> = places.into_iter().take(limit).map(|(_, index)| index).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<String> {
        (0..100).map(|i| if i < 80 { "large" } else { "small" }.to_owned()).collect()
    }

    #[test]
    fn groups_are_drawn_in_proportion() {
        for seed in 0..20 {
            let chosen = sample(&groups(), 20, seed);
            assert_eq!(chosen.len(), 20);
            let small = chosen.iter().filter(|i| **i >= 80).count();
            assert!((3..=5).contains(&small), "{small}");
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_larger_sample_of_the_same_seed_holds_the_smaller_one() {
        let (few, many) = (sample(&groups(), 10, 3), sample(&groups(), 30, 3));
        assert!(few.iter().all(|index| many.contains(index)));
        assert_ne!(few, sample(&groups(), 10, 4));
        assert_eq!(sample(&groups(), 1000, 3), (0..100).collect::<Vec<_>>());
    }
}
