//! What is spent, what is promised, and when the next request may begin.

use std::time::{Duration, Instant};

/// The books of a runner, in the currency of its prices.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Cost of what came back.
    pub spent: f64,
    /// What the requests under way may cost.
    reserved: f64,
    next_start: Option<Instant>,
}

impl Ledger {
    /// Whether a request that may cost `most` fits the limit beside what is spent and under way.
    pub fn fits(&self, most: f64, limit: Option<f64>) -> bool {
        limit.is_none_or(|limit| self.spent + self.reserved + most <= limit)
    }

    /// Time until the next request may begin; zero if it may now.
    pub fn until_start(&self, now: Instant) -> Duration {
        self.next_start.map_or(Duration::ZERO, |start| start.saturating_duration_since(now))
    }

    /// Begins a request.
    pub fn begin(&mut self, most: f64, requests_per_minute: Option<f64>, now: Instant) {
        self.reserved += most;
        self.next_start = requests_per_minute.map(|rate| now + Duration::from_secs_f64(60.0 / rate));
    }

    /// Ends a request that might have cost `most` and did cost `cost`.
    pub fn settle(&mut self, most: f64, cost: f64) {
        // Rounding must not leave a promise behind.
        self.reserved = (self.reserved - most).max(0.0);
        self.spent += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_until_it_is_settled() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        ledger.begin(0.6, None, now);
        assert!(ledger.fits(0.4, Some(1.0)) && !ledger.fits(0.5, Some(1.0)) && ledger.fits(9.0, None));
        ledger.settle(0.6, 0.1);
        assert!(ledger.fits(0.9, Some(1.0)) && !ledger.fits(0.95, Some(1.0)));
    }

    #[test]
    fn starts_are_evenly_spaced() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        assert_eq!(ledger.until_start(now), Duration::ZERO);
        ledger.begin(0.0, Some(120.0), now);
        assert_eq!(ledger.until_start(now), Duration::from_millis(500));
        assert_eq!(ledger.until_start(now + Duration::from_millis(200)), Duration::from_millis(300));
        assert_eq!(ledger.until_start(now + Duration::from_secs(9)), Duration::ZERO);
    }
}
