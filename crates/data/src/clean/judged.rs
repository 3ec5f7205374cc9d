//! What the checks of either mode make of one conversation.

use std::borrow::Cow;

use super::rule::{Cut, Finding};

/// A conversation after the checks that look at it alone.
#[derive(Debug)]
pub(super) struct Judged {
    /// Its turns, or why it is dropped.
    pub outcome: Result<Vec<Cleaned>, Finding>,
    /// Turns that were left out.
    pub cuts: Vec<Cut>,
    /// Questions with an answer behind them, before and after.
    pub rounds_in: usize,
    pub rounds_out: usize,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Cleaned {
    /// As the output writes it.
    pub speaker: Cow<'static, str>,
    pub text: String,
}
