//! The bytes that tokens stand for, told from their names and not from where they were found.

use std::collections::{HashMap, HashSet};

use camelid_chat::{byte_token, char_to_byte};
use tokenizers::Tokenizer;

/// SentencePiece's visible space.
const SPACE: char = '▁';

/// How a tokenizer's tokens are spelt.
pub(super) struct Spelling {
    /// The bytes of each id.
    bytes: HashMap<u32, Vec<u8>>,
    /// Tokens that stand for their own text: `</s>`.
    whole: HashSet<u32>,
    /// SentencePiece does not tell its mark from a space.
    marks: bool,
    /// Whether a space that no text holds stands before a text.
    space_first: bool,
    /// The same after a token of `whole`, as LLaMA's slow tokenizer (`legacy`) puts it.
    space_after_whole: bool,
}

impl Spelling {
    /// Of a tokenizer that spells by bytes, as GPT-2's do, or by SentencePiece's pieces. `None` for others.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let vocabulary = tokenizer.get_vocab(false);
        // SentencePiece's may hold a `Ġ` as a letter; GPT-2's alphabet has no `▁`.
        let marks = vocabulary.contains_key("▁");
        if !marks && !vocabulary.contains_key("Ġ") {
            return None;
        }
        let mut bytes: HashMap<u32, Vec<u8>> = vocabulary
            .into_iter()
            .filter_map(|(token, id)| {
                let bytes = match marks {
                    true => piece(&token),
                    false => token.chars().map(char_to_byte).collect::<Option<_>>()?,
                };
                Some((id, bytes))
            })
            .collect();
        let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        bytes.extend(added.iter().map(|(id, token)| (*id, token.content.clone().into_bytes())));
        let whole = added.keys().copied().collect();
        let mut spelling = Self { bytes, whole, marks, space_first: false, space_after_whole: false };

        let spelt = |text: &str| -> Option<Vec<u8>> {
            let encoding = tokenizer.encode_fast(text, false).ok()?;
            let bytes = encoding.get_ids().iter().map(|id| spelling.bytes.get(id).cloned());
            bytes.collect::<Option<Vec<_>>>().map(|bytes| bytes.concat())
        };
        let space_first = spelt("a")? == b" a";
        let space_after_whole = match added.values().map(|token| &token.content).min() {
            Some(token) => spelt(&format!("{token}a"))? == format!("{token} a").into_bytes(),
            None => false,
        };
        (spelling.space_first, spelling.space_after_whole) = (space_first, space_after_whole);
        Some(spelling)
    }

    /// Whether a text has the same tokens after `</s>` as alone: what FastChat's flag `legacy` says of
    /// LLaMA's tokenizers, and what holds of every tokenizer without spaces of its own.
    pub(super) fn legacy(&self) -> bool {
        self.space_after_whole == self.space_first
    }

    /// How many of the first ids stand before `text`: one where the tokenizer adds a beginning token.
    pub(super) fn before(&self, text: &str, ids: &[u32]) -> usize {
        let Some(first) = ids.first().filter(|id| self.whole.contains(id)) else { return 0 };
        usize::from(!self.bytes.get(first).is_some_and(|bytes| text.as_bytes().starts_with(bytes)))
    }

    /// A text as its tokens spell it. With each byte goes the byte of the text at which its character begins.
    fn plain(&self, text: &str) -> Vec<(u8, usize)> {
        let mut plain = Vec::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            if self.marks && c == SPACE {
                plain.push((b' ', at));
            } else {
                plain.extend(text[at..at + c.len_utf8()].bytes().map(|byte| (byte, at)));
            }
        }
        plain
    }

    /// Where in `text` each token's bytes stand, found by spelling the tokens one after the other, to the
    /// end of the text or, of a text that was `cut`, as far as they go. `None` where they spell another text.
    ///
    /// A token that is nothing but the space that no text holds stands where the next one begins, a
    /// beginning token that the tokenizer adds at the start.
    pub(super) fn places(&self, text: &str, ids: &[u32], cut: bool) -> Option<Vec<Place>> {
        let plain = self.plain(text);
        let position = |at: usize| plain.get(at).map_or(text.len(), |(_, position)| *position);
        let before = self.before(text, ids);
        let mut places = vec![Place { start: 0, last: 0 }; before];
        let mut at = 0;
        let mut space = self.space_first;
        for id in &ids[before..] {
            let whole = self.whole.contains(id);
            let bytes = self.bytes.get(id)?;
            let bytes = match bytes.strip_prefix(b" ") {
                Some(rest) if space && !whole => rest,
                _ => bytes,
            };
            let end = at + bytes.len();
            if !plain.get(at..end)?.iter().map(|(byte, _)| byte).eq(bytes) {
                return None;
            }
            places.push(Place { start: position(at), last: position(end.saturating_sub(1).max(at)) });
            at = end;
            space = whole && self.space_after_whole;
        }
        (cut || at == plain.len()).then_some(places)
    }
}

/// A piece of SentencePiece: its mark is a space, `<0x0A>` a byte, all else itself.
fn piece(token: &str) -> Vec<u8> {
    match byte_token(token) {
        Some(byte) => vec![byte],
        None => token.replace(SPACE, " ").into_bytes(),
    }
}

/// Where a token stands in a text, in bytes: the characters of its first and its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub start: usize,
    pub last: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::{NanoConfig, NanoWorld};

    #[test]
    fn tokens_are_found_where_they_stand() {
        let tokenizer = NanoWorld::new(&NanoConfig::default()).unwrap().tokenizer().unwrap();
        let spelling = Spelling::of(&tokenizer).unwrap();
        assert!(spelling.legacy() && !spelling.space_first);
        let text = "né a</s>\n b";
        let ids = tokenizer.encode_fast(text, true).unwrap().get_ids().to_vec();
        let places = spelling.places(text, &ids, false).unwrap();
        // <s>, n, é in two bytes, " a", </s>, "\n", " b".
        let expected = [(0, 0), (0, 0), (1, 1), (1, 1), (3, 4), (5, 8), (9, 9), (10, 11)];
        assert_eq!(places, expected.map(|(start, last)| Place { start, last }));
        assert_eq!(spelling.places("another text", &ids, false), None);
        assert_eq!(spelling.places(&format!("{text} and on"), &ids, false), None);
        assert_eq!(spelling.places(&format!("{text} and on"), &ids, true), Some(places));
    }

    #[test]
    fn a_piece_is_its_text_or_a_byte() {
        assert_eq!(
            (piece("▁a"), piece("<0xE9>"), piece("<0xZZ>")),
            (b" a".to_vec(), vec![0xe9], b"<0xZZ>".to_vec())
        );
    }
}
