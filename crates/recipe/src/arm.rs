//! Arms: ways to tune the same base on the same conversations.

use camelid_lora::Targets;
use camelid_train::OptimSpill;

use crate::{BaseFormat, Experiment};

/// One way to tune the same base on the same conversations.
pub trait Arm {
    /// Its name in files and tables.
    fn name(&self) -> &str;
    /// What it is, in words.
    fn label(&self) -> &str;
    /// The experiment with this arm's settings and seed in place of its own.
    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment;
}

impl Experiment {
    /// A copy of this experiment for an arm with one seed, named after both.
    pub fn of_arm(&self, arm: &str, seed: u64) -> Experiment {
        let (name, seed) = (format!("{}-{arm}-seed{seed}", self.name), self.seed + seed);
        Experiment { name, seed, ..self.clone() }
    }
}

/// An arm that differs from its experiment in how the base is held, in what is trained and in where
/// the optimizer's state lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuningArm {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub label: &'static str,
    /// How the base is held while it is tuned.
    pub base: BaseFormat,
    /// What is trained.
    pub trains: Trains,
    /// Bytes of optimizer state that may stay resident, the rest in a file; `None` for all.
    pub optimizer_budget: Option<u64>,
}

/// What an arm trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trains {
    /// Adapters as the experiment has them.
    Adapters,
    /// The same adapters, but on these linear layers.
    AdaptersOn(&'static [&'static str]),
    /// Every weight, with the experiment's learning rate times this.
    Everything {
        /// Adapters start from zero and want large steps; whole weights do not.
        learning_rate: f64,
    },
}

impl Arm for TuningArm {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment {
        let mut experiment = common.of_arm(self.name, seed);
        self.base.apply(&mut experiment);
        match self.trains {
            Trains::Adapters => {}
            Trains::AdaptersOn(layers) => {
                if let Some(lora) = &mut experiment.lora {
                    lora.target_modules =
                        Targets::Names(layers.iter().map(|&name| name.to_owned()).collect());
                }
            }
            Trains::Everything { learning_rate } => {
                experiment.lora = None;
                experiment.train.learning_rate *= learning_rate;
            }
        }
        if let Some(budget) = self.optimizer_budget {
            experiment.train.optim_budget_bytes = Some(budget);
            experiment.train.optim_spill = OptimSpill::File;
        }
        experiment
    }
}
