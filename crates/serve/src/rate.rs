//! How much each client may ask in a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::ServeError;

/// Clients remembered; beyond, those that have their full allowance again are forgotten.
const MOST_CLIENTS: usize = 10_000;

/// Limits of each client, `None` for no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits {
    /// Requests a minute.
    pub requests: Option<u32>,
    /// Tokens a minute, read and written.
    pub tokens: Option<u32>,
    /// Requests at once.
    pub at_once: Option<u32>,
}

/// What each client has left. Allowances fill up evenly over a minute.
#[derive(Debug)]
pub struct Rates {
    limits: RateLimits,
    clients: Mutex<HashMap<String, Allowance>>,
}

#[derive(Debug)]
struct Allowance {
    requests: f64,
    /// Below 0 when an answer took more than was left.
    tokens: f64,
    at_once: u32,
    at: Instant,
}

impl Rates {
    /// Nobody has asked anything yet.
    pub fn new(limits: RateLimits) -> Self {
        Self { limits, clients: Mutex::default() }
    }

    /// Lets a request in, or not. Every one that is let in has to be taken out by [`Rates::leave`].
    ///
    /// # Errors
    /// When a limit is reached, with the seconds until it is not.
    pub fn enter(&self, client: &str, now: Instant) -> Result<(), ServeError> {
        let RateLimits { requests, tokens, at_once } = self.limits;
        if requests.is_none() && tokens.is_none() && at_once.is_none() {
            return Ok(());
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, left| left.at_once > 0 || now.duration_since(left.at).as_secs() < 60);
        }
        let left = clients.entry(client.to_owned()).or_insert_with(|| Allowance {
            requests: f64::from(requests.unwrap_or(0)),
            tokens: f64::from(tokens.unwrap_or(0)),
            at_once: 0,
            at: now,
        });
        let minutes = now.duration_since(left.at).as_secs_f64() / 60.0;
        let fill = |left: f64, limit: Option<u32>| match limit.map(f64::from) {
            Some(limit) => (left + limit * minutes).min(limit),
            None => left,
        };
        (left.requests, left.tokens, left.at) =
            (fill(left.requests, requests), fill(left.tokens, tokens), now);
        // The small share takes the rounding of a sum of intervals.
        let wait = |lacking: f64, limit: u32| {
            (lacking / f64::from(limit.max(1)) * 60.0 - 1e-6).ceil().max(1.0) as u64
        };
        let limited = |message: String, retry_after| Err(ServeError::RateLimited { message, retry_after });
        if let Some(limit) = at_once
            && left.at_once >= limit
        {
            return limited(
                format!("{limit} requests of yours are being answered, which is the most at once"),
                1,
            );
        }
        if let Some(limit) = requests
            && left.requests < 1.0 - 1e-9
        {
            return limited(
                format!("the limit is {limit} requests a minute"),
                wait(1.0 - left.requests, limit),
            );
        }
        if let Some(limit) = tokens
            && left.tokens <= 0.0
        {
            return limited(format!("the limit is {limit} tokens a minute"), wait(1.0 - left.tokens, limit));
        }
        left.requests -= 1.0;
        left.at_once += 1;
        Ok(())
    }

    /// A request that was let in is over, and took so many tokens.
    pub fn leave(&self, client: &str, tokens: usize) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = clients.get_mut(client) {
            left.at_once = left.at_once.saturating_sub(1);
            left.tokens -= tokens as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn retry_after(error: ServeError) -> u64 {
        match error {
            ServeError::RateLimited { retry_after, .. } => retry_after,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn requests_of_a_minute_fill_up_evenly() {
        let rates = Rates::new(RateLimits { requests: Some(2), ..RateLimits::default() });
        let start = Instant::now();
        for _ in 0..2 {
            rates.enter("a", start).unwrap();
            rates.leave("a", 0);
        }
        assert_eq!(retry_after(rates.enter("a", start).unwrap_err()), 30);
        rates.enter("b", start).expect("another client has its own allowance");
        assert!(rates.enter("a", start + Duration::from_secs(29)).is_err());
        rates.enter("a", start + Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn tokens_are_paid_after_the_answer() {
        let rates = Rates::new(RateLimits { tokens: Some(60), ..RateLimits::default() });
        let start = Instant::now();
        rates.enter("a", start).unwrap();
        rates.leave("a", 90);
        assert_eq!(retry_after(rates.enter("a", start).unwrap_err()), 31);
        rates.enter("a", start + Duration::from_secs(31)).unwrap();
    }

    #[test]
    fn requests_at_once_are_bounded() {
        let rates = Rates::new(RateLimits { at_once: Some(1), ..RateLimits::default() });
        let now = Instant::now();
        rates.enter("a", now).unwrap();
        assert!(rates.enter("a", now).is_err());
        rates.leave("a", 0);
        rates.enter("a", now).unwrap();
    }
}
