//! What FastChat's `html_to_markdown` makes of a page, byte for byte.
//!
//! The chain is that of `fastchat/data/clean_sharegpt.py`: opening `div` and `span` tags are cut
//! out, markdownify 0.11.6 converts what Beautiful Soup 4.15 reads with CPython 3.11's
//! `html.parser`, and the buttons of the page are removed from the result. Its damage is part of
//! it: `Vec<String>` loses its type, `my_var` gains a backslash, a leading "1 / 2" goes.

pub(super) mod conversation;
mod convert;
mod python;
pub(super) mod tokenizer;
pub(super) mod tree;

use std::sync::LazyLock;

use regex::Regex;

use super::pattern::pattern;

/// What stops FastChat at a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkdownError {
    /// `html.parser` raises, which FastChat counts as a parser error.
    #[error("the parser refuses it: {0}")]
    Rejected(&'static str),
    /// Elements are nested too deeply; CPython stops at about the same depth.
    #[error("elements are nested more than 900 deep")]
    TooDeep,
    /// A number cannot be read: a `ValueError`, which ends FastChat's whole run.
    #[error("{0} is no number that can be used")]
    Number(&'static str),
    /// A tag named as one of markdownify's methods: a `TypeError`, which ends FastChat's whole run.
    #[error("the tag `hn` or `soup`, which markdownify takes for a method of its own")]
    Method,
}

/// The Markdown of a page, or of a user's text, which is read as HTML too.
///
/// ```
/// use camelid_data::clean::exact::html_to_markdown;
/// let page = "<p>Use <code>a_b</code>:</p><pre><div><span>python</span><button>Copy code</button></div><code>x = 1</code></pre>";
/// assert_eq!(html_to_markdown(page)?, "Use `a_b`:\n```python\nx = 1\n```");
/// assert_eq!(html_to_markdown("Vec<String> of my_var")?, r"Vec of my\_var");
/// # Ok::<(), camelid_data::clean::exact::MarkdownError>(())
/// ```
///
/// # Errors
/// [`MarkdownError`] where FastChat raises.
pub fn html_to_markdown(html: &str) -> Result<String, MarkdownError> {
    static DIV: LazyLock<Regex> = LazyLock::new(|| pattern("<div.*?>"));
    static SPAN: LazyLock<Regex> = LazyLock::new(|| pattern("<span.*?>"));
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?s)```[\s\x1c-\x1f]*(.*?)(?:Copy code)+(.+?)[\s\x1c-\x1f]*?```"));
    static REGENERATED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d+ / \d+"));
    static COPIED: LazyLock<Regex> = LazyLock::new(|| pattern(r"Copy\d+ chars / \d+ words"));
    static NO_CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"```(.*?)Copy code[\s\x1c-\x1f]*```"));

    let html = DIV.replace_all(html, "");
    let html = SPAN.replace_all(&html, "");
    let text = convert::convert(tokenizer::parse(&html)?)?;
    let text = CODE.replace_all(python::strip(&text), "```$1\n$2\n```");
    let text = REGENERATED.replace(&text, "");
    let text = COPIED.replace_all(&text, "");
    let text = NO_CODE.replace_all(&text, "");
    Ok(python::strip(&text.replace("\n\n\n", "\n")).to_owned())
}
