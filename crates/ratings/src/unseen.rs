//! Characters that make names differ without being seen.

/// Characters that are not seen and not white space: zero-width space and joiners, word joiner,
/// byte-order mark.
const UNSEEN: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// A text without white space and unseen characters around it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || UNSEEN.contains(&c))
}

/// A text without unseen characters anywhere.
pub(crate) fn seen(text: &str) -> String {
    text.chars().filter(|c| !UNSEEN.contains(c)).collect()
}
