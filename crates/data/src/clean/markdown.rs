//! HTML to Markdown, by either mode's rules.

use super::exact::{MarkdownError, html_to_markdown};
use super::options::Mode;

/// The Markdown of a page, or of a turn's text as it was stored.
///
/// # Errors
/// [`MarkdownError`] where FastChat's converter raises.
pub fn markdown(page: &str, mode: Mode) -> Result<String, MarkdownError> {
    match mode {
        Mode::FastchatExact => html_to_markdown(page),
    }
}
