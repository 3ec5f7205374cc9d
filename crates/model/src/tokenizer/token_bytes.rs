//! The bytes that each token stands for.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

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
    let byte_of: HashMap<char, u8> = match has_type(&decoder, "ByteLevel") {
        true => byte_alphabet(),
        false => HashMap::new(),
    };
    let fallback = has_type(&decoder, "ByteFallback");
    let vocab = tokenizer.get_vocab(true);
    let len = vocab.values().max().map_or(0, |last| *last as usize + 1);
    let added = tokenizer.get_added_tokens_decoder();
    let mut bytes = vec![None; len];
    for (token, id) in vocab {
        bytes[id as usize] = Some(match added.get(&id) {
            Some(added) if added.special => [&[SPECIAL], token.as_bytes()].concat(),
            Some(_) => token.into_bytes(),
            None if !byte_of.is_empty() => byte_level(&token, &byte_of),
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

fn byte_level(token: &str, byte_of: &HashMap<char, u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    for c in token.chars() {
        match byte_of.get(&c) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

/// Which byte each character of GPT-2's alphabet stands for: printable Latin-1 characters stand for
/// themselves, the other bytes take the characters from U+0100 on in their order.
fn byte_alphabet() -> HashMap<char, u8> {
    let known = ByteLevel::alphabet();
    let mut next = 256;
    let mut alphabet = HashMap::new();
    for byte in 0..=255_u8 {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let c = if printable {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap_or_default()
        };
        debug_assert!(known.contains(&c));
        alphabet.insert(c, byte);
    }
    alphabet
}

/// The byte that SentencePiece's `<0x0A>` names.
fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_the_alphabet() {
        let alphabet = byte_alphabet();
        let known = ByteLevel::alphabet();
        assert_eq!(alphabet.len(), 256);
        assert!(alphabet.keys().all(|c| known.contains(c)));
        assert_eq!(alphabet.get(&'Ġ'), Some(&b' '));
        assert_eq!(alphabet.get(&'Ċ'), Some(&b'\n'));
    }

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

    #[test]
    fn sentencepiece_names_bytes() {
        assert_eq!(byte_token("<0x0A>"), Some(10));
        assert_eq!(byte_token("<0xZZ>"), None);
        assert_eq!(byte_token("▁a"), None);
    }
}
