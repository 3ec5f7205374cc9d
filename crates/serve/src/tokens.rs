//! What a single token says, for log-probabilities.

use camelid_model::token_bytes;
use tokenizers::Tokenizer;

/// What [`token_bytes`] puts before a special token's name.
const SPECIAL: u8 = 0xFF;

/// A tokenizer with the bytes that each of its tokens stands for.
#[derive(Debug)]
pub struct TokenTexts {
    tokenizer: Tokenizer,
    bytes: Vec<Option<Vec<u8>>>,
}

impl TokenTexts {
    /// Looks every token up.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self { bytes: token_bytes(&tokenizer), tokenizer }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn marked(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Whether the token is a special one, which no text shows.
    pub fn is_special(&self, id: u32) -> bool {
        self.marked(id).first() == Some(&SPECIAL)
    }

    /// The bytes of a token: of a special token its name, of an unknown id none.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let bytes = self.marked(id);
        bytes.strip_prefix(&[SPECIAL]).unwrap_or(bytes)
    }

    /// A token's text, with U+FFFD for pieces of characters.
    pub fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.bytes(id)).into_owned()
    }

    /// A token's text that no other token has: pieces of characters are written as OpenAI's completions
    /// do, `bytes:\xe2\x80`.
    pub fn distinct_text(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                format!("bytes:{}", bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use camelid_tests::byte_tokenizer;

    use super::*;

    #[test]
    fn tokens_are_the_bytes_that_they_stand_for() {
        let texts = TokenTexts::new(byte_tokenizer(&["<s>"]));
        let ids = texts.tokenizer().encode("a é\n", false).unwrap().get_ids().to_vec();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| texts.bytes(*id)).copied().collect();
        assert_eq!(bytes, "a é\n".as_bytes());
        assert_eq!(texts.text(ids[0]), "a");
        assert_eq!(texts.distinct_text(ids[2]), "bytes:\\xc3");
        assert_eq!(texts.text(ids[2]), "\u{FFFD}");
        assert!(texts.is_special(256) && !texts.is_special(ids[0]));
        assert_eq!(texts.text(256), "<s>");
        assert!(texts.bytes(100_000).is_empty());
    }
}
