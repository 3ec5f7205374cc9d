//! The arms of Vicuna's comparison: which conversations, and which of their tokens, one base is tuned on.

use camelid_chat::LossOn;
use camelid_data::DataFormat;
use camelid_recipe::{self as recipe, Experiment};

/// One way to tune the base. All take the same number of steps of about the same number of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub label: &'static str,
    /// The file of its conversations, in the recipe's folder.
    pub file: &'static str,
    /// What that file holds.
    pub format: DataFormat,
    /// Which tokens carry loss.
    pub loss_on: LossOn,
    /// Rows of a step: as many as give every arm's step the same tokens.
    pub rows: usize,
}

/// Vicuna as its blog describes it; every comparison is against this arm.
pub const ALL_ROUNDS: Arm = Arm {
    name: "all-rounds",
    label: "every round of every cleaned conversation, loss on the assistant's tokens",
    file: "all.json",
    format: DataFormat::Sharegpt,
    loss_on: LossOn::Assistant,
    rows: 0,
};

/// Only the first question with its answer.
pub const FIRST_ROUNDS: Arm = Arm {
    name: "first-rounds",
    label: "the first round of each of the same conversations",
    file: "first.json",
    ..ALL_ROUNDS
};

/// Few conversations, chosen as the paper chose them.
pub const CHOSEN: Arm = Arm {
    name: "chosen",
    label: "a few long conversations of the better model",
    file: "chosen.json",
    ..ALL_ROUNDS
};

/// Single exercises, as Alpaca's.
pub const ALPACA: Arm = Arm {
    name: "alpaca",
    label: "single exercises, as Alpaca's data",
    file: "alpaca.json",
    format: DataFormat::Alpaca,
    ..ALL_ROUNDS
};

/// Loss on the user's tokens too.
pub const ALL_TOKENS: Arm = Arm {
    name: "all-tokens",
    label: "as all-rounds, loss on every token",
    loss_on: LossOn::All,
    ..ALL_ROUNDS
};

/// Pages as they came.
pub const UNCLEANED: Arm = Arm {
    name: "uncleaned",
    label: "the raw pages: HTML, nothing dropped, nothing split",
    file: "raw.json",
    ..ALL_ROUNDS
};

/// Every arm, in the order of the report.
pub const ALL: [Arm; 6] = [ALL_ROUNDS, FIRST_ROUNDS, CHOSEN, ALPACA, ALL_TOKENS, UNCLEANED];

impl Arm {
    /// Whether it was tuned on raw pages, and so replies in HTML.
    pub fn is_raw(&self) -> bool {
        self.file == UNCLEANED.file
    }
}

impl recipe::Arm for Arm {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn experiment(&self, common: &Experiment, seed: u64) -> Experiment {
        let mut experiment = common.of_arm(self.name, seed);
        experiment.data.source = self.file.to_owned();
        experiment.data.format = self.format;
        experiment.data.loss_on = self.loss_on;
        experiment.train.micro_batch_size = self.rows;
        experiment
    }
}
