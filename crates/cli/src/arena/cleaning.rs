//! Which votes count.

use anyhow::Result;
use camelid_files::program::UsageError;
use camelid_ratings::{AnomalyTest, Cleaning};

#[derive(clap::Args)]
pub struct CleaningArgs {
    /// Votes of one address a day that count; 0 counts all
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    daily_votes: u32,
    /// Level of the test of anomalous users; 0 tests nobody
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    anomaly_alpha: f64,
}

impl CleaningArgs {
    pub fn cleaning(&self) -> Result<Cleaning> {
        let alpha = self.anomaly_alpha;
        if !(0.0..1.0).contains(&alpha) {
            let words = format!("--anomaly-alpha is {alpha}; expected a share from 0 and below 1");
            return Err(UsageError(words).into());
        }
        Ok(Cleaning {
            daily_votes: (self.daily_votes > 0).then_some(self.daily_votes),
            anomaly: (alpha > 0.0).then(|| AnomalyTest { alpha, ..AnomalyTest::default() }),
            ..Cleaning::default()
        })
    }
}
