//! How tokenizers spell single bytes.

/// The character of GPT-2's alphabet that stands for a byte: bytes that print in Latin-1 stand for
/// themselves, the others are counted up from U+0100.
pub fn byte_to_char(byte: u8) -> char {
    let counted = match byte {
        0..=0x20 => byte,
        0x7f..=0xa0 => byte - 0x7f + 0x21,
        0xad => 0x43,
        _ => return char::from(byte),
    };
    char::from_u32(0x100 + u32::from(counted)).unwrap_or_default()
}

/// The byte that a character of GPT-2's alphabet stands for.
pub fn char_to_byte(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        itself @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => itself,
        counted @ 0x100..=0x120 => counted - 0x100,
        counted @ 0x121..=0x142 => counted - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    Some(byte as u8)
}

/// The byte that SentencePiece's token `<0x0A>` stands for.
pub fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    two.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn the_alphabet_is_that_of_the_tokenizers_library() {
        let alphabet: HashSet<char> = (0..=u8::MAX).map(byte_to_char).collect();
        assert_eq!(alphabet, ByteLevel::alphabet().into_iter().collect());
        assert!((0..=u8::MAX).all(|byte| char_to_byte(byte_to_char(byte)) == Some(byte)));
        assert_eq!([b' ', b'\n', b'a', 0xad].map(byte_to_char), ['Ġ', 'Ċ', 'a', '\u{143}']);
        assert_eq!(['\u{144}', ' ', '\u{ad}', '▁'].map(char_to_byte), [None; 4]);
    }

    #[test]
    fn sentencepiece_names_bytes() {
        assert_eq!(["<0x0A>", "<0xff>"].map(byte_token), [Some(10), Some(255)]);
        assert_eq!(["<0xA>", "<0xZZ>", "<0x+A>", "0x0A", "▁a"].map(byte_token), [None; 5]);
    }
}
