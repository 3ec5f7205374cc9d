//! How fast and how dear a batch may be.

use serde::{Deserialize, Serialize};

use super::error::RunError;
use super::estimate::Prices;

/// How a batch is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Requests under way at a time. Default 4.
    pub concurrency: usize,
    /// Most requests begun in a minute, evenly spaced; `None` for no limit. Further attempts at a
    /// request that failed in passing are the generator's and not counted.
    pub requests_per_minute: Option<f64>,
    /// Prices, for the estimate and the spending limit.
    pub prices: Option<Prices>,
    /// Most that this runner may spend, in the currency of the prices.
    ///
    /// A request begins only if what is spent, what those under way may cost and what it may cost
    /// itself (see [`Estimate::cost_at_most`](super::Estimate::cost_at_most)) fit. A request that failed counts with all it may
    /// have cost where the server may charge for it.
    pub spending_limit: Option<f64>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { concurrency: 4, requests_per_minute: None, prices: None, spending_limit: None }
    }
}

impl RunSettings {
    pub(super) fn check(&self) -> Result<(), RunError> {
        let refuse = |setting, found: String, expected| Err(RunError::Setting { setting, found, expected });
        if self.concurrency == 0 {
            return refuse("concurrency", "0".into(), "at least 1");
        }
        if let Some(rate) = self.requests_per_minute
            && !(rate > 0.0 && rate.is_finite())
        {
            return refuse("requests_per_minute", rate.to_string(), "a positive number");
        }
        for (setting, amount) in [
            ("prices.prompt", self.prices.map(|prices| prices.prompt)),
            ("prices.new", self.prices.map(|prices| prices.new)),
            ("spending_limit", self.spending_limit),
        ] {
            if let Some(amount) = amount
                && !(amount >= 0.0 && amount.is_finite())
            {
                return refuse(setting, amount.to_string(), "a number from 0");
            }
        }
        match (self.spending_limit, self.prices) {
            (Some(limit), None) => refuse(
                "spending_limit",
                format!("{limit} without `prices`"),
                "prices to hold spending against",
            ),
            _ => Ok(()),
        }
    }
}
