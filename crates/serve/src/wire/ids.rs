//! Names and times of answers.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngExt;

/// A name that no other answer has: `prefix` and 24 letters and digits.
pub fn new_id(prefix: &str) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    let letters = (0..24).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]));
    prefix.chars().chain(letters).collect()
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
