//! Weights of all pairs' outcomes, drawn anew with replacement.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

use crate::battles::Battles;
use crate::counts::{PairCounts, place};

/// A way to draw the weights of all pairs' outcomes anew.
pub(crate) trait Draws: Sync {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<[f64; 3]>;
}

/// Unique rows, drawn by as many battles as there are.
pub(crate) struct Rows<'a> {
    counts: &'a PairCounts,
    battles: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(counts: &'a PairCounts) -> Self {
        Self { counts, battles: counts.battles() }
    }
}

impl Draws for Rows<'_> {
    /// A multinomial draw: each row takes a binomial share of what the rows before it left.
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<[f64; 3]> {
        let (mut left, mut battles) = (self.battles, self.battles);
        let mut weights = vec![[0.0; 3]; self.counts.pairs().len()];
        for (pair, weights) in self.counts.pairs().iter().zip(&mut weights) {
            for (count, weight) in pair.counts.iter().zip(weights) {
                if count.battles == 0 {
                    continue;
                }
                let share = count.battles as f64 / battles as f64;
                // The share lies between 0 and 1, which is all that can be wrong with it.
                let drawn = Binomial::new(left, share.min(1.0)).map_or(0, |binomial| binomial.sample(rng));
                *weight = drawn as f64 * count.weight / count.battles as f64;
                left -= drawn;
                battles -= count.battles;
            }
        }
        weights
    }
}

/// Questions, each with the slots and outcomes of its battles.
pub(crate) struct Clusters {
    pairs: usize,
    groups: Vec<Vec<(u32, u8, f64)>>,
}

impl Clusters {
    pub(crate) fn new(battles: &Battles, counts: &PairCounts) -> Self {
        let slots = counts.slots();
        let mut groups = vec![Vec::new(); battles.questions().all().len()];
        for row in battles.rows() {
            let (key, outcome) = place(row.a, row.b, row.outcome);
            let entry = (slots[&key] as u32, outcome as u8, row.votes as f64);
            match row.question {
                Some(question) => groups[question as usize].push(entry),
                None => groups.push(vec![entry]),
            }
        }
        groups.retain(|group| !group.is_empty());
        Self { pairs: counts.pairs().len(), groups }
    }
}

impl Draws for Clusters {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<[f64; 3]> {
        let mut weights = vec![[0.0; 3]; self.pairs];
        for _ in 0..self.groups.len() {
            for &(slot, outcome, votes) in &self.groups[rng.random_range(0..self.groups.len())] {
                weights[slot as usize][outcome as usize] += votes;
            }
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::battles::{NamedBattle, Outcome};

    #[test]
    fn a_draw_has_as_many_battles_as_there_are() {
        let mut battles = Battles::new();
        for question in 0..40 {
            let question = question.to_string();
            for (a, b, outcome) in
                [("x", "y", Outcome::ModelA), ("y", "z", Outcome::Tie), ("x", "y", Outcome::ModelB)]
            {
                let named = NamedBattle { question: Some(&question), ..NamedBattle::new(a, b, outcome) };
                battles.push(&named).unwrap();
            }
        }
        let counts = PairCounts::new(&battles).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let rows = Rows::new(&counts).draw(&mut rng);
        assert_eq!(rows.iter().flatten().sum::<f64>(), 120.0);
        assert_ne!(rows, counts.weights());
        // Every question has the same three verdicts, so questions drawn anew change nothing.
        assert_eq!(Clusters::new(&battles, &counts).draw(&mut rng), counts.weights());
    }

    #[test]
    fn rows_are_drawn_in_proportion_to_their_counts() {
        let mut battles = Battles::new();
        for i in 0..100 {
            let outcome = if i < 70 { Outcome::ModelA } else { Outcome::ModelB };
            battles.push(&NamedBattle::new("x", "y", outcome)).unwrap();
        }
        let counts = PairCounts::new(&battles).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let won: Vec<f64> = (0..2000).map(|_| Rows::new(&counts).draw(&mut rng)[0][0]).collect();
        let mean = won.iter().sum::<f64>() / 2000.0;
        let variance = won.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 70.0).abs() < 0.5 && (variance - 21.0).abs() < 2.5, "{mean} {variance}");
    }
}
