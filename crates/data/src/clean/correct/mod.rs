//! What FastChat's cleaning was meant to do: a page's Markdown with everything that was on it.
//!
//! Text is text: `Vec<String>`, `my_var`, `2 * 3` and a question that begins "1 / 2" stay as they
//! are. What is markup is told first ([`page`]), read by the same parser as in exact mode, and written
//! by [`convert`]: code with its language, nested lists, tables, quotes, and formulas as TeX.

pub(super) mod conversation;
mod convert;
mod page;

use camelid_chat::Role;

use super::exact::{MarkdownError, tokenizer};

/// The text of a turn as Markdown. Whose turn it is matters: a user writes text in which tags are
/// mostly code that he asks about, an assistant's answer was stored as a page.
///
/// # Errors
/// [`MarkdownError::Rejected`] for markup so broken that reading it would take hours.
pub fn markdown(text: &str, role: Role) -> Result<String, MarkdownError> {
    let text = text.replace("\r\n", "\n");
    Ok(match page::told(&text, role) {
        page::Told::Text(text) => trimmed(&text).to_owned(),
        page::Told::Page(page) => convert::convert(&tokenizer::parse(&page)?),
    })
}

/// Without blank lines before, blanks behind, and characters that nobody sees around.
fn trimmed(text: &str) -> &str {
    let unseen = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}')
    };
    let end = text.trim_end_matches(unseen);
    let body = end.trim_start_matches(unseen);
    // The first line keeps its indentation where others follow it.
    let line = end[..end.len() - body.len()].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = &end[line..end.len() - body.len()];
    if body.contains('\n') && line > 0 && indent.chars().all(|c| matches!(c, ' ' | '\t')) {
        &end[line..]
    } else {
        body
    }
}
