//! How a run trains: the `[train]` section of an experiment.

use std::path::Path;

use camelid_paged_optim::{AdamWConfig, Spill, StateBits};
use serde::{Deserialize, Serialize};

use crate::{BlockInputPaging, LrSchedule, Sft, Step, TrainError};

/// Settings that no number of a run depends on.
const NEUTRAL: [&str; 7] = [
    "optim_budget_bytes",
    "optim_spill",
    "block_inputs_budget_bytes",
    "activation_checkpointing",
    "eval_every",
    "save_every",
    "keep_last",
];

/// Settings that act through the learning rates of the steps.
const OF_THE_RATE: [&str; 3] = ["learning_rate", "lr_schedule", "warmup_ratio"];

/// Settings of the trainer. The defaults are QLoRA's (Dettmers et al. 2023, Table 9) for 7B.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// Seed of the order of examples and of dropout. In an experiment it stands at the top level.
    #[serde(skip)]
    pub seed: u64,
    /// Highest learning rate. Default 2e-4.
    pub learning_rate: f64,
    /// What happens after the warm-up. Default constant.
    pub lr_schedule: LrSchedule,
    /// Share of the steps over which the rate rises from 0. Default 0.03.
    pub warmup_ratio: f64,
    /// Optimizer steps of the run. In an experiment its `length` at the top level decides. Default
    /// 1,875.
    #[serde(skip)]
    pub max_steps: usize,
    /// Examples computed at once. Default 1.
    pub micro_batch_size: usize,
    /// Micro-batches of one step. Default 16.
    pub grad_accum: usize,
    /// The gradient's global norm is clipped to this; 0 does not clip. Default 0.3.
    pub max_grad_norm: f64,
    /// Decoupled weight decay. Default 0.
    pub weight_decay: f64,
    /// Decay of the first moment. Default 0.9.
    pub adam_beta1: f64,
    /// Decay of the second moment. Default 0.999.
    pub adam_beta2: f64,
    /// Added to the square root of the second moment. Default 1e-8.
    pub adam_eps: f64,
    /// The optimizer, by the width of its state: `adamw32` (the default) or `adamw8bit`.
    pub optim: StateBits,
    /// Bytes of optimizer state that stay resident; all of it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optim_budget_bytes: Option<u64>,
    /// Where the rest goes. Default host memory.
    pub optim_spill: OptimSpill,
    /// Bytes of the block inputs saved under activation checkpointing that stay resident; all of
    /// them when absent. The rest goes where `optim_spill` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_inputs_budget_bytes: Option<u64>,
    /// Recompute each block on the way back instead of keeping its activations. The numbers are
    /// the same. Default true.
    pub activation_checkpointing: bool,
    /// Put examples of similar length into a batch. Default true.
    pub group_by_length: bool,
    /// Evaluate on the held-out set every so many steps, and at the end; 0 for the end only.
    /// Default 0.
    pub eval_every: usize,
    /// Write a checkpoint every so many steps, and at the end; 0 for the end only. Default 100.
    pub save_every: usize,
    /// Checkpoints kept, the newest ones. Default 2.
    pub keep_last: usize,
}

/// Where optimizer state goes that has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimSpill {
    /// Host memory.
    Host,
    /// An unnamed file in the run's directory.
    File,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            learning_rate: 2e-4,
            lr_schedule: LrSchedule::Constant,
            warmup_ratio: 0.03,
            max_steps: 1875,
            micro_batch_size: 1,
            grad_accum: 16,
            max_grad_norm: 0.3,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_eps: 1e-8,
            optim: StateBits::Bits32,
            optim_budget_bytes: None,
            optim_spill: OptimSpill::Host,
            block_inputs_budget_bytes: None,
            activation_checkpointing: true,
            group_by_length: true,
            eval_every: 0,
            save_every: 100,
            keep_last: 2,
        }
    }
}

impl TrainSettings {
    /// Checks every number against its range. Betas and the like are the optimizer's to check.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the setting, its value and the range.
    pub fn check(&self) -> Result<(), TrainError> {
        let at_least_one = |name, value: usize| match value {
            0 => Err(TrainError::Setting { name, value: "0".into(), expected: "at least 1" }),
            _ => Ok(()),
        };
        at_least_one("max_steps", self.max_steps)?;
        at_least_one("micro_batch_size", self.micro_batch_size)?;
        at_least_one("grad_accum", self.grad_accum)?;
        at_least_one("keep_last", self.keep_last)?;
        let not_negative = |name, value: f64| match value.is_finite() && value >= 0.0 {
            true => Ok(()),
            false => {
                let value = value.to_string();
                Err(TrainError::Setting { name, value, expected: "a finite number >= 0" })
            }
        };
        not_negative("learning_rate", self.learning_rate)?;
        not_negative("max_grad_norm", self.max_grad_norm)?;
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            let value = self.warmup_ratio.to_string();
            return Err(TrainError::Setting { name: "warmup_ratio", value, expected: "0 to 1" });
        }
        Ok(())
    }

    /// Learning rate of a step, counted from 0.
    pub fn lr_at(&self, step: usize) -> f64 {
        let warmup = (self.warmup_ratio * self.max_steps as f64).ceil() as usize;
        self.learning_rate * self.lr_schedule.factor(step, warmup, self.max_steps)
    }

    /// The optimizer's settings; pages spill into `run_dir` where they go to a file.
    pub fn optimizer(&self, run_dir: &Path) -> AdamWConfig {
        AdamWConfig {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            eps: self.adam_eps,
            weight_decay: self.weight_decay,
            state: self.optim,
            budget: self.optim_budget_bytes,
            spill: self.spill(run_dir),
            ..AdamWConfig::default()
        }
    }

    /// A step of supervised fine-tuning at learning rate `learning_rate`; block inputs spill into
    /// `run_dir` where they go to a file.
    pub fn step(&self, learning_rate: f64, run_dir: &Path) -> Step<Sft> {
        Step {
            objective: Sft,
            learning_rate,
            max_grad_norm: self.max_grad_norm,
            activation_checkpointing: self.activation_checkpointing,
            block_inputs: self.block_inputs(run_dir),
        }
    }

    /// Where saved block inputs wait.
    fn block_inputs(&self, run_dir: &Path) -> BlockInputPaging {
        BlockInputPaging { budget: self.block_inputs_budget_bytes, spill: self.spill(run_dir) }
    }

    fn spill(&self, run_dir: &Path) -> Spill {
        match self.optim_spill {
            OptimSpill::Host => Spill::Host,
            OptimSpill::File => Spill::File(run_dir.to_owned()),
        }
    }

    /// What keeps a run that has done `steps` steps under the settings `earlier` from going on under
    /// these: each setting under which those steps would have been others, with both values. Where
    /// state is kept, what is recomputed and when something is written or measured changes nothing;
    /// rate, schedule, warm-up and length may change as long as the rates of the steps done do not.
    pub fn changes_after(&self, earlier: &Self, steps: usize) -> Vec<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (ours, theirs) = (fields(self), fields(earlier));
        let mut changes: Vec<String> = ours
            .iter()
            .filter(|(name, value)| {
                let free = NEUTRAL.iter().chain(&OF_THE_RATE).any(|free| free == name);
                !free && theirs.get(*name) != Some(value)
            })
            .map(|(name, value)| {
                let other = theirs.get(name).map_or("absent".into(), ToString::to_string);
                format!("{name} = {value} (was {other})")
            })
            .collect();
        if self.seed != earlier.seed {
            changes.push(format!("seed = {} (was {})", self.seed, earlier.seed));
        }
        if self.max_steps < steps {
            changes.push(format!("a length of {} steps ({steps} are done)", self.max_steps));
        }
        let other_rate = (0..steps).find(|step| self.lr_at(*step) != earlier.lr_at(*step));
        if let Some(step) = other_rate {
            changes.push(format!(
                "a learning rate of {:e} at step {} (was {:e}: rate, schedule, warm-up and length decide it)",
                self.lr_at(step),
                step + 1,
                earlier.lr_at(step)
            ));
        }
        changes
    }
}
