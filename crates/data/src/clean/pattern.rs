//! Regular expressions that are written in the program.

use regex::Regex;

/// Compiles a constant pattern.
#[expect(clippy::expect_used, reason = "the patterns are constants, and every call compiles them")]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}
