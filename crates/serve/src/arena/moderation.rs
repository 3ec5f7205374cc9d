//! What may be sent to a model and shown to a visitor.

use std::collections::VecDeque;
use std::path::Path;

use camelid_chat::openai::{ModerationClient, OpenAiError};
use camelid_ratings::WordSplitter;

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
        self.phrases.extend(lines.map(WordSplitter::words).filter(|phrase| !phrase.is_empty()));
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
        let mut watch = Watch::new(&self.phrases);
        watch.push(text)?;
        watch.finish()?;
        self.ask(text)
    }

    /// What the endpoint says of a whole text.
    fn ask(&self, text: &str) -> Result<(), Held> {
        match &self.endpoint {
            Some(endpoint) => match endpoint.flagged(text) {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(Held::Flagged),
                Err(error) => Err(Held::Unknown(error)),
            },
            None => Ok(()),
        }
    }

    /// What may be shown of a growing answer before it is whole.
    pub fn gate(&self) -> Gate<'_> {
        Gate { moderation: self, watch: Watch::new(&self.phrases), text: String::new(), shown: 0 }
    }
}

/// A growing answer of which no more is shown than may be.
///
/// With a word list, the words that could still become a phrase stay back; with an endpoint, all of it
/// until it is whole.
pub struct Gate<'a> {
    moderation: &'a Moderation,
    watch: Watch<'a>,
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
        self.watch.push(piece)?;
        let settled = if self.moderation.endpoint.is_none() { self.watch.settled() } else { 0 };
        Ok(self.show(settled))
    }

    /// The rest of the answer, now that it is whole.
    ///
    /// # Errors
    /// Why it may not be shown.
    pub fn finish(mut self) -> Result<(String, String), Held> {
        self.watch.finish()?;
        self.moderation.ask(&self.text)?;
        let rest = self.show(self.text.len());
        Ok((rest, self.text))
    }

    fn show(&mut self, to: usize) -> String {
        let piece = self.text[self.shown..to].to_owned();
        self.shown = to;
        piece
    }
}

/// Looks for phrases in a text that comes piece by piece; of what came before it keeps the words alone that
/// a phrase could begin with.
struct Watch<'a> {
    phrases: &'a [Vec<String>],
    /// One less than the words of the longest phrase: those that are kept.
    most: usize,
    splitter: WordSplitter,
    /// Where each begins, and the word.
    recent: VecDeque<(usize, String)>,
}

impl<'a> Watch<'a> {
    fn new(phrases: &'a [Vec<String>]) -> Self {
        let most = phrases.iter().map(Vec::len).max().unwrap_or(1) - 1;
        Self { phrases, most, splitter: WordSplitter::default(), recent: VecDeque::new() }
    }

    /// Takes a piece. The last word may go on, and is no part of a phrase before it ended.
    fn push(&mut self, piece: &str) -> Result<(), Held> {
        let Self { phrases, most, splitter, recent } = self;
        let mut is_found = false;
        splitter.push(piece, |start, word| {
            recent.push_back((start, word));
            is_found |= phrases.iter().any(|phrase| ends_in(recent, phrase));
            if recent.len() > *most {
                recent.pop_front();
            }
        });
        if is_found { Err(Held::Flagged) } else { Ok(()) }
    }

    /// Ends the text.
    fn finish(&mut self) -> Result<(), Held> {
        self.push("\n")
    }

    /// The bytes of the text that no phrase can become part of.
    fn settled(&self) -> usize {
        self.recent.front().map_or_else(|| self.splitter.open(), |(start, _)| *start)
    }
}

/// Whether the last words are those of a phrase.
fn ends_in(words: &VecDeque<(usize, String)>, phrase: &[String]) -> bool {
    let mut last = words.iter().rev().map(|(_, word)| word);
    phrase.iter().rev().all(|word| last.next() == Some(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        // A word that goes on in the next piece is another word.
        assert_eq!(shown(&moderation, &["a blorp", "ed thing"]), ("a blorped thing".to_owned(), false));
        assert_eq!(shown(&moderation, &["a thing, a ", "blorp"]), ("a thing, ".to_owned(), true));
    }

    proptest! {
        /// However an answer is cut: it is held back if the whole is, what was shown is its beginning, and
        /// no phrase is in it.
        #[test]
        fn pieces_are_judged_as_their_whole(
            words in prop::collection::vec("[a-c]{1,2}[ ,.]{0,2}", 0..30),
            cuts in prop::collection::vec(0usize..4, 0..40),
        ) {
            let moderation = listed("a b a\nbb\nc c b\n");
            let whole = words.concat();
            let (mut pieces, mut rest) = (Vec::new(), whole.as_str());
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            let (text, held) = shown(&moderation, &pieces);
            prop_assert_eq!(held, moderation.check(&whole).is_err());
            prop_assert!(whole.starts_with(&text) && moderation.check(&text).is_ok());
        }
    }

    #[test]
    fn an_endpoint_that_does_not_answer_lets_nothing_through() {
        let endpoint = ModerationClient::new("http://127.0.0.1:9/v1/moderations", None).unwrap();
        let moderation = Moderation::none().with_endpoint(endpoint);
        assert!(matches!(moderation.check("hello"), Err(Held::Unknown(_))));
        assert_eq!(shown(&moderation, &["hello"]), (String::new(), true));
    }
}
