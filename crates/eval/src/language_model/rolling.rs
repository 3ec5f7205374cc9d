//! The windows in which a long text is scored.

use std::ops::Range;

/// A window over a text's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The tokens that the model reads; the first window reads the token that begins a text as well.
    pub(super) read: Range<usize>,
    /// The tokens that it scores: each follows one that it reads.
    pub(super) scored: Range<usize>,
}

/// The windows over a text of `tokens` tokens before which stands one more, which is not scored. Each
/// reads up to `window` tokens and scores `stride` (the first as many as it reads); a last one with
/// less to score reads `window` tokens nevertheless.
///
/// As `get_rolling_token_windows` of lm-evaluation-harness (`lm_eval/utils.py`), whose `context_len` is
/// `window − stride + 1`.
///
/// A stride is at least 1 and at most the window, whatever is asked for.
pub(super) fn rolling_windows(tokens: usize, window: usize, stride: usize) -> Vec<Window> {
    let window = window.max(1);
    let stride = stride.clamp(1, window);
    let mut windows = Vec::new();
    let mut scored = 0;
    while scored < tokens {
        let end = tokens.min(scored + if scored == 0 { window } else { stride });
        windows.push(Window { read: (end - 1).saturating_sub(window)..end - 1, scored: scored..end });
        scored = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(tokens: usize, window: usize, stride: usize) -> Vec<[usize; 4]> {
        let windows = rolling_windows(tokens, window, stride);
        windows.iter().map(|w| [w.read.start, w.read.end, w.scored.start, w.scored.end]).collect()
    }

    /// The cases of lm-evaluation-harness's own tests: 34 tokens in windows of 10, with one token of
    /// context and with five. The first window's begin token is not counted here.
    #[test]
    fn windows_are_those_of_the_harness() {
        assert_eq!(bounds(34, 10, 10), [[0, 9, 0, 10], [9, 19, 10, 20], [19, 29, 20, 30], [23, 33, 30, 34]]);
        assert_eq!(
            bounds(34, 10, 6),
            [[0, 9, 0, 10], [5, 15, 10, 16], [11, 21, 16, 22], [17, 27, 22, 28], [23, 33, 28, 34]]
        );
    }

    #[test]
    fn every_token_is_scored_once() {
        for (tokens, window, stride) in [(1, 1, 1), (7, 3, 2), (100, 40, 39), (10, 10, 1), (9, 100, 3)] {
            let windows = rolling_windows(tokens, window, stride);
            let scored: Vec<usize> = windows.iter().flat_map(|w| w.scored.clone()).collect();
            assert_eq!(scored, (0..tokens).collect::<Vec<_>>(), "{tokens} {window} {stride}");
        }
        assert!(rolling_windows(0, 4, 2).is_empty());
    }
}
