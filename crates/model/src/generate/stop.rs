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
        Self {
            stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(),
            held: String::new(),
        }
    }

    /// Takes the next piece of text. Returns what can be shown, and whether a
    /// stop string was met; everything from it on is dropped.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let met = self.stops.iter().filter_map(|s| self.held.find(s)).min();
        if let Some(at) = met {
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
    fn the_earliest_of_several_stop_strings_counts() {
        let (shown, met) = run(&["b", "abc"], &["xabc"]);
        assert!(met);
        assert_eq!(shown.concat(), "xa");
        let (shown, _) = run(&["abc", "b"], &["xab", "c"]);
        assert_eq!(shown.concat(), "xa");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab#é]{0,30}", cuts in prop::collection::vec(0usize..30, 0..6)) {
            let stops = vec!["#é".to_string(), "ab#".to_string()];
            let expected = stops.iter().filter_map(|s| text.find(s)).min()
                .map_or(text.clone(), |at| text[..at].to_string());
            let mut filter = StopFilter::new(&stops);
            let mut shown = String::new();
            let chars: Vec<char> = text.chars().collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(chars.len())).collect();
            cuts.sort();
            cuts.push(chars.len());
            let mut start = 0;
            let mut met = false;
            for cut in cuts {
                let piece: String = chars[start..cut].iter().collect();
                start = cut;
                let (text, now) = filter.push(&piece);
                shown.push_str(&text);
                if now {
                    met = true;
                    break;
                }
            }
            if !met {
                shown.push_str(&filter.finish());
            }
            // The earliest match can differ only when stop strings overlap; these do not begin inside each other's shown part.
            prop_assert_eq!(shown, expected);
        }
    }
}
