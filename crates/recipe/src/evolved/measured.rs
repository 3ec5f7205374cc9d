//! All that was measured of the arms, and the comparisons that claims are decided by.

use std::collections::BTreeSet;

use super::arm::Arm;
use super::exam::Mark;
use super::lineages::{Item, Lineages};
use super::study::Tuned;
use crate::claims::{Evidence, Figure, NamedDifference};
use crate::compare::{Difference, contrast, crossed};
use crate::rounded;

/// All that was measured.
pub struct Measured<'a> {
    /// The exams and the evolutions.
    pub lineages: &'a Lineages,
    /// The untuned base on an exam.
    pub untuned: &'a [Mark],
    /// Every arm and seed.
    pub tuned: &'a [Tuned],
    /// The arms that were run.
    pub arms: &'a [Arm],
    /// Whether items are taken that choices are made by, and not those that claims are decided by.
    pub development: bool,
}

/// How an answer is scored, in percent.
#[derive(Debug, Clone, Copy)]
pub enum Score {
    /// The greedy answer is right.
    Greedy,
    /// One of so many drawn answers is.
    Drawn(u32),
}

impl Score {
    fn of(self, mark: &Mark) -> f64 {
        100.0
            * match self {
                Self::Greedy => f64::from(u8::from(mark.right)),
                Self::Drawn(draws) => mark.pass_at(draws),
            }
    }
}

impl Measured<'_> {
    /// Every seed that an arm was run with.
    pub fn of(&self, arm: &Arm) -> impl Iterator<Item = &Tuned> {
        self.tuned.iter().filter(move |tuned| tuned.arm == arm.name)
    }

    /// The scores of an arm with one seed on the items that `keep` takes.
    pub fn scores(&self, arm: &Arm, tuned: &Tuned, score: Score, keep: impl Fn(&Item) -> bool) -> Vec<f64> {
        self.of_marks(arm, &tuned.marks, score, keep)
    }

    fn of_marks(&self, arm: &Arm, marks: &[Mark], score: Score, keep: impl Fn(&Item) -> bool) -> Vec<f64> {
        let items = self.lineages.exam(arm.exam).iter().zip(marks);
        let taken = items.filter(|(item, _)| item.development == self.development && keep(item));
        taken.map(|(_, mark)| score.of(mark)).collect()
    }

    /// What an arm reaches on the items that `keep` takes, its error over items and seeds.
    pub fn mean(&self, arm: &Arm, score: Score, keep: impl Fn(&Item) -> bool + Copy) -> Option<Difference> {
        let with_nothing = |tuned: &Tuned| {
            let scores = self.scores(arm, tuned, score, keep);
            (scores.clone(), vec![0.0; scores.len()])
        };
        over(self.of(arm).map(with_nothing).collect())
    }

    /// What `left` reaches more than `right`, over the seeds that both were run with.
    pub fn between(
        &self,
        left: &Arm,
        right: &Arm,
        score: Score,
        keep: impl Fn(&Item) -> bool + Copy,
    ) -> Option<Difference> {
        let pair = |l: &Tuned| {
            let r = self.of(right).find(|r| r.seed == l.seed)?;
            Some((self.scores(left, l, score, keep), self.scores(right, r, score, keep)))
        };
        over(self.of(left).filter_map(pair).collect())
    }

    /// A weighted sum of what arms of one exam reach, e.g. the slope of a line through them, over the seeds that
    /// all were run with.
    pub fn weighted(&self, arms: &[(f64, &Arm)], score: Score) -> Option<Difference> {
        let (_, first) = arms.first()?;
        let side = |sign: f64, seed: u64| {
            let mut sum = Vec::new();
            for (weight, arm) in arms {
                let tuned = self.of(arm).find(|tuned| tuned.seed == seed)?;
                let weight = f64::max(0.0, sign * weight);
                let scores = self.scores(arm, tuned, score, |_| true);
                sum.resize(scores.len(), 0.0);
                sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
            }
            Some(sum)
        };
        over(self.of(first).filter_map(|t| Some((side(1.0, t.seed)?, side(-1.0, t.seed)?))).collect())
    }

    /// A weighted sum of a student's errors by round.
    pub fn errors(&self, student: &Arm, weights: &[(usize, f64)]) -> Option<Difference> {
        let of_round = |&(round, weight): &(usize, f64)| {
            let errors = |tuned: &Tuned| {
                let scores = self.scores(student, tuned, Score::Greedy, |item| item.round == round);
                scores.into_iter().map(|score| 100.0 - score).collect::<Vec<_>>()
            };
            (weight, self.of(student).map(errors).collect::<Vec<_>>())
        };
        contrast(&weights.iter().map(of_round).collect::<Vec<_>>())
    }

    /// What an arm reaches more than the untuned base, which sat the same exam.
    pub fn gain(&self, arm: &Arm, score: Score) -> Option<Difference> {
        // The base sat one exam, which need not be this arm's.
        if self.lineages.exam(arm.exam).len() != self.untuned.len() {
            return None;
        }
        let before = self.of_marks(arm, self.untuned, score, |_| true);
        let pair = |tuned: &Tuned| (self.scores(arm, tuned, score, |_| true), before.clone());
        over(self.of(arm).map(pair).collect())
    }

    /// Evidence that each left arm reaches more than its right one: the scores of all, and the differences.
    pub fn better(&self, pairs: &[(&Arm, &Arm)], score: Score) -> Option<Evidence> {
        let difference = |(left, right): &(&Arm, &Arm)| {
            Some(NamedDifference::of(left.name, right.name, self.between(left, right, score, |_| true)?))
        };
        let mut seen = BTreeSet::new();
        let arms = pairs.iter().flat_map(|(left, right)| [*left, *right]);
        let figure = |arm: &Arm| Some(Figure::of(arm.name, self.mean(arm, score, |_| true)?.mean, "%"));
        Some(Evidence {
            figures: arms.filter(|arm| seen.insert(arm.name)).map(figure).collect::<Option<_>>()?,
            differences: pairs.iter().map(difference).collect::<Option<_>>()?,
            ..Evidence::default()
        })
    }

    /// Mean level of an exam's instructions of a round.
    pub fn level(&self, exam: camelid_data::nano::Domain, round: usize) -> f64 {
        let items = self.lineages.exam(exam).iter();
        let levels: Vec<f64> =
            items.filter(|item| item.round == round).map(|item| item.level as f64).collect();
        levels.iter().sum::<f64>() / levels.len() as f64
    }
}

/// The mean difference over pairs of scores, one pair a seed.
fn over(pairs: Vec<(Vec<f64>, Vec<f64>)>) -> Option<Difference> {
    let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    crossed(&left, &right, &vec![1.0; left.first()?.len()])
}

/// A difference with its interval, `3.3 [−2.2, 8.8]`.
pub fn in_words(difference: &Difference) -> String {
    let (low, high) = difference.interval();
    let figure = |value| rounded(value, difference.standard_error);
    format!("{} [{}, {}]", figure(difference.mean), figure(low), figure(high))
}
