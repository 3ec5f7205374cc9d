//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// What the learning rate does after the warm-up, over which it rises linearly from 0. The curves
/// are those of transformers' `get_scheduler`: the very first step of a warm-up has rate 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrSchedule {
    /// Stays as it is.
    Constant,
    /// Falls in a line, to reach 0 after the last step.
    Linear,
    /// Falls along half a cosine, to reach 0 after the last step.
    Cosine,
}

impl LrSchedule {
    /// Factor on the learning rate at `step` (from 0) of `total`, `warmup` of them rising.
    pub fn factor(self, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => (1.0 - progress).max(0.0),
            Self::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `LambdaLR` values of transformers' schedules, 4 warm-up steps of 12.
    #[test]
    fn curves_are_those_of_transformers() {
        let at = |schedule: LrSchedule, step| schedule.factor(step, 4, 12);
        for schedule in [LrSchedule::Constant, LrSchedule::Linear, LrSchedule::Cosine] {
            let rise: Vec<f64> = (0..4).map(|step| at(schedule, step)).collect();
            assert_eq!(rise, [0.0, 0.25, 0.5, 0.75]);
            assert_eq!(at(schedule, 4), 1.0);
        }
        assert_eq!(at(LrSchedule::Constant, 11), 1.0);
        assert_eq!(at(LrSchedule::Linear, 6), 0.75);
        assert_eq!(at(LrSchedule::Linear, 12), 0.0);
        assert!((at(LrSchedule::Cosine, 8) - 0.5).abs() < 1e-15);
        assert!((at(LrSchedule::Cosine, 6) - 0.853_553_390_593_273_7).abs() < 1e-15);
        assert_eq!(at(LrSchedule::Cosine, 12), 0.0);
    }

    #[test]
    fn a_run_of_nothing_but_warm_up_divides_by_nothing() {
        assert_eq!(LrSchedule::Linear.factor(3, 4, 4), 0.75);
        assert_eq!(LrSchedule::Cosine.factor(4, 4, 4), 1.0);
        assert_eq!(LrSchedule::Constant.factor(0, 0, 1), 1.0);
    }
}
