//! Models of known strength, and people who vote on them.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::battles::Outcome;
use crate::bradley_terry::BradleyTerry;
use crate::counts::PairCounts;
use crate::error::RatingsError;

/// Models of known strength.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Strengths in log-odds.
    pub strengths: Vec<f64>,
    /// ν of Davidson's model: 0 has no ties.
    pub ties: f64,
    /// What the answer shown first gains in log-odds.
    pub position: f64,
}

/// How someone votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Voter {
    /// As the strengths have it.
    Careful,
    /// Left, right or tie, without looking.
    Careless,
    /// Always the answer on the left.
    Leftist,
    /// For the worse model, always.
    Contrary,
    /// For the weakest model wherever it plays, else as the strengths have it.
    Partisan,
}

impl Voter {
    /// All kinds of bad voters.
    pub const BAD: [Self; 4] = [Self::Careless, Self::Leftist, Self::Contrary, Self::Partisan];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Careful => "careful",
            Self::Careless => "careless",
            Self::Leftist => "always left",
            Self::Contrary => "always the worse",
            Self::Partisan => "partisan of the weakest",
        }
    }
}

impl World {
    /// `models` strengths at equal distances, `points` apart in all on the scale of 400 points for odds
    /// of ten, without ties or position effect.
    pub fn spaced(models: usize, points: f64) -> Self {
        let step = points * std::f64::consts::LN_10 / 400.0 / (models.max(2) - 1) as f64;
        Self { strengths: (0..models).map(|m| step * m as f64).collect(), ties: 0.0, position: 0.0 }
    }

    /// How one person votes on models `a` (shown first) and `b`.
    pub fn vote(&self, voter: Voter, a: usize, b: usize, rng: &mut impl Rng) -> Outcome {
        let weakest =
            || (0..self.strengths.len()).min_by(|&i, &j| self.strengths[i].total_cmp(&self.strengths[j]));
        match voter {
            Voter::Careful => self.outcome(a, b, rng),
            Voter::Careless => [Outcome::ModelA, Outcome::ModelB, Outcome::Tie][rng.random_range(0..3)],
            Voter::Leftist => Outcome::ModelA,
            Voter::Contrary if self.strengths[a] < self.strengths[b] => Outcome::ModelA,
            Voter::Contrary => Outcome::ModelB,
            Voter::Partisan if weakest() == Some(a) => Outcome::ModelA,
            Voter::Partisan if weakest() == Some(b) => Outcome::ModelB,
            Voter::Partisan => self.outcome(a, b, rng),
        }
    }

    fn outcome(&self, a: usize, b: usize, rng: &mut impl Rng) -> Outcome {
        let [won, lost, _] = self.chances(a, b);
        let drawn = rng.random::<f64>();
        if drawn < won {
            Outcome::ModelA
        } else if drawn < won + lost {
            Outcome::ModelB
        } else {
            Outcome::Tie
        }
    }

    /// P(a wins), P(b wins), P(tie) with `a` shown first (Davidson 1970; Davidson and Beaver 1977 for
    /// the order).
    pub fn chances(&self, a: usize, b: usize) -> [f64; 3] {
        let gap = self.strengths[a] - self.strengths[b] + self.position;
        let (up, down) = ((gap / 2.0).exp(), (-gap / 2.0).exp());
        let all = up + down + self.ties;
        [up / all, down / all, self.ties / all]
    }

    /// The Bradley–Terry ratings that endlessly many votes would give, every pair as often as any other
    /// and either answer first as often: what intervals should hold.
    ///
    /// # Errors
    /// As [`BradleyTerry::fit`].
    pub fn ratings(&self, model: &BradleyTerry) -> Result<Vec<f64>, RatingsError> {
        const VOTES: f64 = 1e6;
        let n = self.strengths.len();
        let mut pairs = Vec::new();
        for i in 0..n {
            for j in i + 1..n {
                let (first, second) = (self.chances(i, j), self.chances(j, i));
                let [won, lost] = [first[0] + second[1], first[1] + second[0]].map(|p| VOTES * p / 2.0);
                pairs.push(((i as u32, j as u32), [won, lost, VOTES * (first[2] + second[2]) / 2.0]));
            }
        }
        let models = (0..n).map(|m| m.to_string()).collect();
        Ok(model.fit(&PairCounts::of_weights(models, pairs))?.ratings)
    }

    /// `votes` outcomes of careful people on pairs drawn evenly.
    pub(super) fn even_votes(&self, votes: usize, rng: &mut impl Rng) -> Vec<(u32, u32, Outcome)> {
        let n = self.strengths.len();
        let vote = |_| {
            let (a, b) = even_pair(n, rng);
            (a as u32, b as u32, self.outcome(a, b, rng))
        };
        (0..votes).map(vote).collect()
    }
}

/// Two different models of `n`, each order of each pair as likely as any other.
pub(super) fn even_pair(n: usize, rng: &mut impl Rng) -> (usize, usize) {
    let a = rng.random_range(0..n);
    let b = rng.random_range(0..n - 1);
    (a, b + usize::from(b >= a))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn chances_sum_to_one_and_the_first_place_helps() {
        let world = World { ties: 0.5, position: 0.3, ..World::spaced(3, 200.0) };
        let even = world.chances(1, 1);
        assert!((even.iter().sum::<f64>() - 1.0).abs() < 1e-12 && even[0] > even[1]);
        assert!(world.chances(2, 0)[0] > world.chances(1, 0)[0]);
    }

    #[test]
    fn the_truth_without_ties_is_the_strengths() {
        let ratings = World::spaced(5, 200.0).ratings(&BradleyTerry::default()).unwrap();
        for (m, rating) in ratings.iter().enumerate() {
            assert!((rating - (900.0 + 50.0 * m as f64)).abs() < 1e-3, "{ratings:?}");
        }
    }

    #[test]
    fn voters_vote_as_they_are() {
        let world = World::spaced(3, 800.0);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut shares = |voter, a, b| {
            let wins = (0..1000).filter(|_| world.vote(voter, a, b, &mut rng) == Outcome::ModelA).count();
            wins as f64 / 1000.0
        };
        assert!(shares(Voter::Careful, 2, 0) > 0.97);
        assert_eq!((shares(Voter::Contrary, 2, 0), shares(Voter::Leftist, 0, 2)), (0.0, 1.0));
        assert_eq!((shares(Voter::Partisan, 0, 2), shares(Voter::Partisan, 2, 0)), (1.0, 0.0));
        assert!((shares(Voter::Careless, 0, 2) - 1.0 / 3.0).abs() < 0.06);
    }
}
