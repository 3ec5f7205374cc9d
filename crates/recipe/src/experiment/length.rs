//! How long a run trains.

use serde::{Deserialize, Serialize};

/// The length of a run: `length = { steps = 1875 }` or `length = { epochs = 3 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// Optimizer steps.
    Steps(usize),
    /// Passes over the training set; a part of one may be asked for, as in 0.5.
    Epochs(f64),
}

impl Length {
    /// Optimizer steps over a training set of `examples` with `batch` of them a step: an epoch's
    /// last batch may be smaller, so an epoch is `examples / batch` steps, rounded up.
    pub fn steps(self, examples: usize, batch: usize) -> usize {
        match self {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let an_epoch = examples.div_ceil(batch.max(1));
                ((epochs * an_epoch as f64).ceil() as usize).max(1)
            }
        }
    }

    pub(super) fn check(self) -> Result<(), String> {
        match self {
            Length::Steps(0) => Err("`length`: expected at least 1 step".to_owned()),
            Length::Epochs(epochs) if !(epochs.is_finite() && epochs > 0.0) => {
                Err(format!("`length`: {epochs} epochs; expected a finite number above 0"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_every_example_once() {
        assert_eq!(Length::Epochs(1.0).steps(100, 16), 7);
        assert_eq!(Length::Epochs(3.0).steps(96, 16), 18);
        assert_eq!(Length::Epochs(0.5).steps(100, 16), 4);
        assert_eq!(Length::Epochs(0.001).steps(10, 16), 1);
        assert_eq!(Length::Steps(1875).steps(10, 16), 1875);
    }
}
