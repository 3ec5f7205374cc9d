//! HTML to Markdown, by either mode's rules.

use camelid_chat::Role;

use super::correct;
use super::exact::{MarkdownError, html_to_markdown};
use crate::Mode;

/// The Markdown of a page, or of an answer as it was stored; what is no markup stays as it is.
///
/// ```
/// use camelid_data::Mode;
/// use camelid_data::clean::markdown;
/// let page = "<p>A <code>Vec&lt;u8&gt;</code> called my_var, or Vec<String></p>";
/// assert_eq!(markdown(page, Mode::Correct)?, "A `Vec<u8>` called my_var, or Vec<String>");
/// assert_eq!(markdown(page, Mode::FastchatExact)?, r"A `Vec<u8>` called my\_var, or Vec");
/// # Ok::<(), camelid_data::clean::exact::MarkdownError>(())
/// ```
///
/// # Errors
/// [`MarkdownError`] where FastChat's converter raises; in correct mode only for markup so broken that
/// reading it would take hours.
pub fn markdown(page: &str, mode: Mode) -> Result<String, MarkdownError> {
    match mode {
        Mode::FastchatExact => html_to_markdown(page),
        Mode::Correct => correct::markdown(page, Role::Assistant),
    }
}
