//! Measuring models and deciding claims.
//!
//! - [`exact_match`]: greedy answers to questions with one right answer.
//! - [`compare`]: paired differences with their standard errors.
//! - [`claims`]: a paper's claims as data, and the verdict that figures support.
//!
//! ```
//! use camelid_eval::compare::{Difference, paired};
//!
//! // Loss of two models on the same five conversations.
//! let base = [2.1, 1.9, 2.4, 2.0, 2.2];
//! let tuned = [1.8, 1.7, 2.1, 1.8, 1.9];
//! let difference: Difference = paired(&base, &tuned).unwrap();
//! assert!(difference.mean > 0.2 && difference.certainly_positive());
//! ```

pub mod claims;
pub mod compare;
pub mod exact_match;
