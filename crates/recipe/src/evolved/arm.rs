//! Arms: which rows of which evolution a model is tuned on, and how many.

use camelid_data::nano::Domain;
use camelid_evolve::Mix;

use crate::Experiment;

/// An arm: the same base and steps, other rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub label: &'static str,
    /// The evolutions whose rows it takes; what they begin with is taken from the first.
    pub lineages: &'static [&'static str],
    /// Which of their rows.
    pub mix: Mix,
    /// Whether rows with a wrong answer are left out, as a check of its steps finds them.
    pub checked: bool,
    /// How many.
    pub size: Size,
    /// The exam it sits.
    pub exam: Domain,
    /// Rows of a step, which its size decides: [`Study::prepare`](super::Study::prepare) fills it in.
    pub rows_a_step: usize,
}

/// How many rows an arm takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// As many as every other.
    Rows,
    /// As many as have the tokens of another arm.
    TokensOf(&'static Arm),
}

impl crate::Arm for Arm {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment {
        let mut experiment = common.of_arm(self.name, seed);
        experiment.train.micro_batch_size = self.rows_a_step;
        experiment
    }
}
