//! The bytes that each token stands for.

use camelid_chat::{byte_token, char_to_byte};
use serde_json::Value;
use tokenizers::Tokenizer;

/// What stands before the text of a special token, which no text contains: 0xFF is no byte of UTF-8
/// (the convention of `toktrie`).
const SPECIAL: u8 = 0xff;

/// The bytes of every token by its id; `None` where there is no token. A special token, which text
/// never turns into by itself, is 0xFF and its name.
///
/// A token alone may be part of a character, which decoding cannot show. Vocabularies are byte-level
/// (GPT-2's alphabet of printable characters for bytes) or SentencePiece's (`▁` for a space, `<0x0A>` for
/// a byte without a token), as the tokenizer's decoder says.
pub fn token_bytes(tokenizer: &Tokenizer) -> Vec<Option<Vec<u8>>> {
    let decoder = serde_json::to_value(tokenizer.get_decoder()).unwrap_or_default();
    let by_bytes = has_type(&decoder, "ByteLevel");
    let fallback = has_type(&decoder, "ByteFallback");
    let vocab = tokenizer.get_vocab(true);
    let len = vocab.values().max().map_or(0, |last| *last as usize + 1);
    let added = tokenizer.get_added_tokens_decoder();
    let mut bytes = vec![None; len];
    for (token, id) in vocab {
        bytes[id as usize] = Some(match added.get(&id) {
            Some(added) if added.special => [&[SPECIAL], token.as_bytes()].concat(),
            Some(_) => token.into_bytes(),
            None if by_bytes => byte_level(&token),
            None => match byte_token(&token) {
                Some(byte) if fallback => vec![byte],
                _ => token.replace('▁', " ").into_bytes(),
            },
        });
    }
    bytes
}

/// Whether a decoder is of this type or made of one that is.
fn has_type(decoder: &Value, name: &str) -> bool {
    decoder["type"] == name
        || decoder["decoders"].as_array().is_some_and(|parts| parts.iter().any(|part| has_type(part, name)))
}

/// What GPT-2's alphabet spells; a character that is not of it is itself.
fn byte_level(token: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    for c in token.chars() {
        match char_to_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_tokens_are_the_bytes_of_what_they_decode_to() {
        let tokenizer = camelid_tests::byte_tokenizer(&["<s>"]);
        let bytes = token_bytes(&tokenizer);
        let text = "é {\"a\":\n1}";
        let encoding = tokenizer.encode(text, false).unwrap();
        let joined: Vec<u8> =
            encoding.get_ids().iter().flat_map(|id| bytes[*id as usize].clone().unwrap()).collect();
        assert_eq!(joined, text.as_bytes());
        assert_eq!(bytes[256].as_deref(), Some(&b"\xff<s>"[..]));
    }
}
