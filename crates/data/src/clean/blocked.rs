//! Words that a conversation must not hold.

use std::path::Path;

use camelid_files::Input;
use regex::Regex;

use crate::DataError;

/// A list of words or phrases, found as whole words in either case: `openai` is in "OpenAI's" and in
/// "openai.com", and not in "openair".
#[derive(Debug, Clone)]
pub struct Blocked(Option<Regex>);

impl Default for Blocked {
    /// FastChat's two words.
    fn default() -> Self {
        Self::new(["openai", "chatgpt"]).unwrap_or(Self(None))
    }
}

impl Blocked {
    /// A list of one's own; an empty one blocks nothing.
    ///
    /// # Errors
    /// [`DataError::Option`] when there are more words than an expression can hold.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, DataError> {
        let mut patterns = Vec::new();
        for word in words {
            let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let begin = if is_letter(word.chars().next()) { r"\b" } else { "" };
            let end = if is_letter(word.chars().next_back()) { r"\b" } else { "" };
            patterns.push(format!("{begin}{}{end}", regex::escape(word)));
        }
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        let pattern = format!("(?i:{})", patterns.join("|"));
        let compiled = Regex::new(&pattern)
            .map_err(|error| DataError::Option(format!("the blocked words cannot be used: {error}")))?;
        Ok(Self(Some(compiled)))
    }

    /// Reads a list: a word or phrase a line; blank lines and those that begin with `#` are none.
    ///
    /// # Errors
    /// The file cannot be read; [`Blocked::new`].
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = Input::open(path)?.text()?;
        Self::new(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')))
    }

    /// The first of the words in a text.
    pub(super) fn find<'t>(&self, text: &'t str) -> Option<regex::Match<'t>> {
        self.0.as_ref()?.find(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_in_either_case() {
        let blocked = Blocked::default();
        for text in ["OpenAI's model", "see openai.com", "as ChatGPT, I"] {
            assert!(blocked.find(text).is_some(), "{text}");
        }
        for text in ["an openair concert", "my_openai_key", "Open AI"] {
            assert!(blocked.find(text).is_none(), "{text}");
        }
        let own = Blocked::new(["C++", "as an AI"]).unwrap();
        assert_eq!(own.find("in c++, say").map(|found| found.as_str()), Some("c++"));
        assert!(own.find("As an AI model").is_some() && own.find("as an AIR").is_none());
        assert!(Blocked::new([]).unwrap().find("openai").is_none());
    }
}
