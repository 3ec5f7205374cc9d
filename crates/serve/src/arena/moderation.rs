//! What may be sent to a model and shown to a visitor.

use std::path::Path;

use camelid_chat::openai::{ModerationClient, OpenAiError};

use super::error::ArenaError;

/// A word list, an endpoint, both or neither.
#[derive(Debug, Default)]
pub struct Moderation {
    phrases: Vec<Vec<String>>,
    endpoint: Option<ModerationClient>,
}

/// Why a text is held back.
#[derive(Debug)]
pub enum Held {
    /// It holds a phrase of the list, or an endpoint flagged it.
    Flagged,
    /// The endpoint did not answer, so that nobody knows.
    Unknown(OpenAiError),
}

impl Moderation {
    /// Nothing is held back.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the phrases of a file, one a line; lines that begin with `#` are notes. A phrase is found as
    /// whole words, in any case.
    ///
    /// # Errors
    /// [`ArenaError::File`]; [`ArenaError::Content`] for a file without a phrase.
    pub fn with_words(mut self, path: &Path) -> Result<Self, ArenaError> {
        let text = camelid_files::Input::open(path)?.text()?;
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        self.phrases.extend(lines.map(words).filter(|phrase| !phrase.is_empty()));
        if self.phrases.is_empty() {
            let problem = "no word in it; expected one word or phrase a line".to_owned();
            return Err(ArenaError::Content { path: path.to_owned(), problem });
        }
        Ok(self)
    }

    /// Adds an endpoint.
    pub fn with_endpoint(self, endpoint: ModerationClient) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    /// Whether a whole text may be sent or shown.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, text: &str) -> Result<(), Held> {
        self.check_words(text)?;
        match &self.endpoint {
            Some(endpoint) => match endpoint.flagged(text) {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(Held::Flagged),
                Err(error) => Err(Held::Unknown(error)),
            },
            None => Ok(()),
        }
    }

    fn check_words(&self, text: &str) -> Result<(), Held> {
        if self.phrases.is_empty() {
            return Ok(());
        }
        let said = words(text);
        let holds =
            |phrase: &Vec<String>| said.windows(phrase.len()).any(|window| window == phrase.as_slice());
        if self.phrases.iter().any(holds) { Err(Held::Flagged) } else { Ok(()) }
    }

    /// What may be shown of a growing answer before it is whole.
    pub fn gate(&self) -> Gate<'_> {
        Gate { moderation: self, text: String::new(), shown: 0 }
    }
}

/// A growing answer of which no more is shown than may be.
///
/// With a word list, the words that could still become a phrase stay back; with an endpoint, all of it
/// until it is whole.
pub struct Gate<'a> {
    moderation: &'a Moderation,
    text: String,
    shown: usize,
}

impl Gate<'_> {
    /// Takes a piece; what may be shown now.
    ///
    /// # Errors
    /// Why nothing more may be.
    pub fn push(&mut self, piece: &str) -> Result<String, Held> {
        self.text.push_str(piece);
        let Moderation { phrases, endpoint } = self.moderation;
        if endpoint.is_some() {
            return Ok(String::new());
        }
        let Some(longest) = phrases.iter().map(Vec::len).max() else { return Ok(self.show(self.text.len())) };
        self.moderation.check_words(&self.text)?;
        // The last word may go on, and with it the phrase that ends in it.
        let starts = word_starts(&self.text);
        let held = starts.len().checked_sub(longest).map_or(0, |word| starts[word]);
        Ok(self.show(held.max(self.shown)))
    }

    /// The rest of the answer, now that it is whole.
    ///
    /// # Errors
    /// Why it may not be shown.
    pub fn finish(mut self) -> Result<(String, String), Held> {
        self.moderation.check(&self.text)?;
        let rest = self.show(self.text.len());
        Ok((rest, self.text))
    }

    fn show(&mut self, to: usize) -> String {
        let piece = self.text[self.shown..to].to_owned();
        self.shown = to;
        piece
    }
}

/// Words in lower case.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Where words begin, in bytes.
fn word_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut within = false;
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() && !within {
            starts.push(at);
        }
        within = c.is_alphanumeric();
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Moderation {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.txt");
        std::fs::write(&path, text).unwrap();
        Moderation::none().with_words(&path).unwrap()
    }

    /// What is shown of pieces, and whether the end was held back.
    fn shown(moderation: &Moderation, pieces: &[&str]) -> (String, bool) {
        let mut gate = moderation.gate();
        let mut shown = String::new();
        for piece in pieces {
            match gate.push(piece) {
                Ok(more) => shown += &more,
                Err(_) => return (shown, true),
            }
        }
        match gate.finish() {
            Ok((more, whole)) => {
                shown += &more;
                assert_eq!(shown, whole);
                (shown, false)
            }
            Err(_) => (shown, true),
        }
    }

    #[test]
    fn no_word_of_a_listed_phrase_is_ever_shown() {
        let moderation = listed("# a note\nred button\nblorp\n");
        assert!(
            moderation.check("the RED, button").is_err() && moderation.check("the reddish button").is_ok()
        );
        let (text, held) = shown(&moderation, &["Press the ", "re", "d bu", "tton now"]);
        assert!(held && !text.contains("red") && text.starts_with("Press"), "{text}");
        assert_eq!(
            shown(&moderation, &["a blo", "rpy ", "thing is red"]),
            ("a blorpy thing is red".to_owned(), false)
        );
        assert_eq!(shown(&Moderation::none(), &["a", "b"]), ("ab".to_owned(), false));
    }

    #[test]
    fn an_endpoint_that_does_not_answer_lets_nothing_through() {
        let endpoint = ModerationClient::new("http://127.0.0.1:9/v1/moderations", None).unwrap();
        let moderation = Moderation::none().with_endpoint(endpoint);
        assert!(matches!(moderation.check("hello"), Err(Held::Unknown(_))));
        assert_eq!(shown(&moderation, &["hello"]), (String::new(), true));
    }
}
