//! Losses and answers of models: their means, and their differences on the same examples.

use camelid_eval::exact_match::Marked;
use camelid_train::ExampleLoss;

use crate::compare::{Difference, crossed};

/// Mean loss per token over all examples.
pub fn token_mean(losses: &[ExampleLoss]) -> f64 {
    let tokens: usize = losses.iter().map(|l| l.tokens).sum();
    losses.iter().map(|l| l.nll).sum::<f64>() / tokens as f64
}

/// Share of answers that are right.
pub(crate) fn share_correct(answers: &[Marked]) -> f64 {
    correct(answers).iter().sum::<f64>() / answers.len() as f64
}

/// Difference per token of two models' losses on the same examples.
pub fn loss_pair(left: &[ExampleLoss], right: &[ExampleLoss]) -> Option<Difference> {
    losses_crossed(&[(left, right)])
}

/// The same over seeds, each a pair of losses; `None` without seeds.
pub(crate) fn losses_crossed(pairs: &[(&[ExampleLoss], &[ExampleLoss])]) -> Option<Difference> {
    let nll = |losses: &[ExampleLoss]| losses.iter().map(|l| l.nll).collect::<Vec<_>>();
    let (left, right): (Vec<_>, Vec<_>) = pairs.iter().map(|(l, r)| (nll(l), nll(r))).unzip();
    let tokens: Vec<f64> = pairs.first()?.0.iter().map(|l| l.tokens as f64).collect();
    crossed(&left, &right, &tokens)
}

/// Difference of two models' shares of right answers to the same questions, over seeds; `None`
/// where nothing was asked.
pub fn matches_crossed(pairs: &[(&[Marked], &[Marked])]) -> Option<Difference> {
    let (left, right): (Vec<_>, Vec<_>) = pairs.iter().map(|(l, r)| (correct(l), correct(r))).unzip();
    crossed(&left, &right, &vec![1.0; left.first()?.len()])
}

fn correct(answers: &[Marked]) -> Vec<f64> {
    answers.iter().map(|a| f64::from(u8::from(a.correct))).collect()
}
