//! Ending at a stop string, never showing a piece of it.

/// Passes text on, holding back whatever might be the start of a stop string.
#[derive(Clone, Debug)]
pub struct StopFilter {
    stops: Vec<String>,
    /// Text not yet passed on: a proper prefix of some stop string.
    held: String,
}

impl StopFilter {
    /// A filter for these strings; empty ones are ignored.
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Takes the next piece of text. Returns what can be shown, and whether a
    /// stop string was met; everything from it on is dropped.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = first_met(&self.stops, &self.held) {
            let mut shown = std::mem::take(&mut self.held);
            shown.truncate(at);
            return (shown, true);
        }
        let keep = self.open_start();
        let shown = self.held.drain(..keep).collect();
        (shown, false)
    }

    /// What was held back, once no more text comes.
    pub fn finish(self) -> String {
        self.held
    }

    /// Where the longest suffix begins that is the start of a stop string.
    fn open_start(&self) -> usize {
        let text = &self.held;
        text.char_indices()
            .map(|(at, _)| at)
            .find(|at| self.stops.iter().any(|s| s.starts_with(&text[*at..])))
            .unwrap_or(text.len())
    }
}

/// Where the stop string begins that is complete first, the longest if several
/// are at once. Thus it does not matter in which pieces the text comes.
fn first_met(stops: &[String], text: &str) -> Option<usize> {
    stops.iter().filter_map(|stop| text.find(stop).map(|at| (at + stop.len(), at))).min().map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut filter = StopFilter::new(&stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let (text, met) = filter.push(piece);
            shown.push(text);
            if met {
                return (shown, true);
            }
        }
        shown.push(filter.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_string_across_pieces_is_never_shown() {
        let (shown, met) = run(&["### Human:"], &["Yes.\n#", "## Hu", "man: more"]);
        assert!(met);
        assert_eq!(shown, ["Yes.\n", "", ""]);
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_shown_later() {
        let (shown, met) = run(&["###"], &["a #", "# b", " #"]);
        assert!(!met);
        assert_eq!(shown, ["a ", "## b", " ", "#"]);
    }

    #[test]
    fn of_several_stop_strings_the_one_complete_first_counts() {
        let (shown, met) = run(&["b", "abc"], &["xabc"]);
        assert!(met);
        assert_eq!(shown.concat(), "xa");
        let (shown, _) = run(&["b", "abc"], &["xab", "c"]);
        assert_eq!(shown.concat(), "xa");
        let (shown, _) = run(&["b", "ab"], &["xa", "b"]);
        assert_eq!(shown.concat(), "x");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            text in "[ab#é]{0,30}",
            cuts in prop::collection::vec(0usize..30, 0..6),
            stops in prop::collection::vec("[ab#é]{1,4}", 0..4),
        ) {
            let expected = match first_met(&stops, &text) {
                Some(at) => &text[..at],
                None => &text,
            };
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
            cuts.extend([0, chars.len()]);
            cuts.sort();
            let pieces: Vec<String> =
                cuts.windows(2).map(|w| chars[w[0]..w[1]].iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stops, &pieces).0.concat(), expected);
        }
    }
}
