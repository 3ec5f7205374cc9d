//! All that a recipe measured, and the comparisons that claims are decided by.

use crate::claims::{Evidence, Figure, NamedDifference};
use crate::scores::{losses_crossed, matches_crossed, token_mean};
use crate::{Arm, Study, Tuned, Untuned, rounded};

/// Why one seed decides no equality of tuned arms.
const ONE_SEED: &str = "one seed, so the spread between seeds is unknown; --seeds 4 measures it";

/// All that a run measured: the untuned base in several formats, and every arm and seed.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The untuned base in each storage format.
    pub untuned: Vec<Untuned>,
    /// Every arm and seed that was run.
    pub tuned: Vec<Tuned>,
    /// By name of the arm, the format that it holds the base in.
    pub bases: Vec<(String, String)>,
}

impl Measured {
    /// What was measured of a study's `arms`.
    pub fn of(study: &Study, arms: &[impl Arm], untuned: Vec<Untuned>, tuned: Vec<Tuned>) -> Self {
        let format = |arm| study.format_of(arm).name();
        let bases = arms.iter().map(|arm| (arm.name().to_owned(), format(arm))).collect();
        Self { untuned, tuned, bases }
    }

    /// The untuned base in the format of this name.
    pub fn format(&self, name: &str) -> Option<&Untuned> {
        self.untuned.iter().find(|format| format.name == name)
    }

    /// The untuned base as `arm` holds it.
    pub fn base_of(&self, arm: &impl Arm) -> Option<&Untuned> {
        self.format(&self.bases.iter().find(|(name, _)| name == arm.name())?.1)
    }

    /// Every seed that an arm was run with.
    pub fn seeds_of(&self, arm: &impl Arm) -> impl Iterator<Item = &Tuned> {
        self.tuned.iter().filter(move |tuned| tuned.arm == arm.name())
    }

    /// Test loss of `left` minus that of `right`, over the seeds both were run with.
    pub fn loss_difference(&self, left: &impl Arm, right: &impl Arm) -> Option<Evidence> {
        let pairs = self.by_seed(left, right);
        let losses: Vec<_> = pairs.iter().map(|(l, r)| (&l.losses[..], &r.losses[..])).collect();
        Some(Evidence {
            figures: vec![self.loss_figure(left)?, self.loss_figure(right)?],
            differences: vec![NamedDifference::of(left.name(), right.name(), losses_crossed(&losses)?)],
            ..Evidence::default()
        })
    }

    /// As [`Self::loss_difference`], for arms that should be equal; where there are questions with
    /// one right answer, their exact match stands beside, which decides nothing.
    pub fn equal_losses(&self, left: &impl Arm, right: &impl Arm) -> Option<Evidence> {
        let mut evidence = self.loss_difference(left, right)?;
        evidence.gains = vec![self.gain(left)?, self.gain(right)?];
        let one_seed = evidence.differences.iter().any(|d| d.difference.seeds == 1);
        evidence.undecidable = one_seed.then(|| ONE_SEED.to_owned());
        let pairs = self.by_seed(left, right);
        let answers: Vec<_> = pairs.iter().map(|(l, r)| (&l.answers[..], &r.answers[..])).collect();
        if let Some(difference) = matches_crossed(&answers) {
            let (low, high) = difference.interval();
            let percent = |share: f64| rounded(100.0 * share, 100.0 * difference.standard_error);
            evidence.note = format!(
                "Exact match on the held-out questions, {} − {}: {} points [{}, {}].",
                left.name(),
                right.name(),
                percent(difference.mean),
                percent(low),
                percent(high)
            );
        }
        Some(evidence)
    }

    /// What tuning by `arm` gained over its untuned base: in exact match where there are questions
    /// with one right answer, else in held-out loss.
    pub fn tuning(&self, arm: &impl Arm) -> Option<Evidence> {
        let base = self.base_of(arm)?;
        let answers: Vec<_> = self.seeds_of(arm).map(|t| (&t.answers[..], &base.answers[..])).collect();
        let (name, difference) = match matches_crossed(&answers) {
            Some(difference) => ("exact match, tuned − base", difference),
            None => ("held-out loss, base − tuned", self.gain(arm)?.difference),
        };
        let differences = vec![NamedDifference { name: name.to_owned(), difference }];
        Some(Evidence { differences, ..Evidence::default() })
    }

    /// Loss of the untuned base minus that of the arm.
    fn gain(&self, arm: &impl Arm) -> Option<NamedDifference> {
        let base = self.base_of(arm)?;
        let pairs: Vec<_> = self.seeds_of(arm).map(|t| (&base.losses[..], &t.losses[..])).collect();
        let untuned = format!("untuned {}", base.name);
        Some(NamedDifference::of(&untuned, arm.name(), losses_crossed(&pairs)?))
    }

    fn by_seed(&self, left: &impl Arm, right: &impl Arm) -> Vec<(&Tuned, &Tuned)> {
        self.seeds_of(left)
            .filter_map(|l| Some((l, self.seeds_of(right).find(|r| r.seed == l.seed)?)))
            .collect()
    }

    fn loss_figure(&self, arm: &impl Arm) -> Option<Figure> {
        let losses: Vec<f64> = self.seeds_of(arm).map(|t| token_mean(&t.losses)).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        (!losses.is_empty()).then(|| Figure::of(arm.name(), mean, "nats per token"))
    }
}
