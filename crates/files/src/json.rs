//! JSON as Python writes and reads it: with `NaN`, `Infinity` and lone surrogates.

use serde::de::DeserializeOwned;

/// What JSON proper does not hold and was read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// `NaN`, `Infinity` or `-Infinity` stood where a value should be; it was read as `null`.
    Nonfinite,
    /// Half of a surrogate pair (`\ud83d` alone) stood in a text; it was read as U+FFFD.
    LoneSurrogate,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nonfinite => "NaN or Infinity, read as null",
            Self::LoneSurrogate => "half of a surrogate pair, read as U+FFFD",
        })
    }
}

/// Parses JSON; where strict JSON fails, parses it again with what Python's `json` also takes, and
/// says what that was.
///
/// # Errors
/// What strict parsing says, when the text is no JSON either way.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<Note>), serde_json::Error> {
    let strict = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok((value, Vec::new())),
        Err(error) => error,
    };
    let (mended, notes) = mend(bytes);
    if notes.is_empty() {
        return Err(strict);
    }
    serde_json::from_slice(&mended).map(|value| (value, notes))
}

/// The message of a JSON error by kind: cut off, of another shape, or no JSON.
pub fn words(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => format!("the JSON is cut off: {error}"),
        serde_json::error::Category::Data => format!("JSON of another shape: {error}"),
        _ => format!("not JSON: {error}"),
    }
}

/// The text with non-finite numbers as `null` and lone surrogates as U+FFFD. The length of what is
/// replaced changes, so positions in later errors are those of the mended text.
fn mend(bytes: &[u8]) -> (Vec<u8>, Vec<Note>) {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut nonfinite, mut lone) = (false, false);
    let mut at = 0;
    let mut in_text = false;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if in_text {
            match rest {
                [b'\\', b'u', ..] => {
                    let (taken, sound) = escape(rest);
                    out.extend_from_slice(if sound { &rest[..taken] } else { b"\\ufffd" });
                    lone |= !sound;
                    at += taken;
                }
                [b'\\', next, ..] => {
                    out.extend([b'\\', *next]);
                    at += 2;
                }
                [byte, ..] => {
                    in_text = *byte != b'"';
                    out.push(*byte);
                    at += 1;
                }
                [] => break,
            }
            continue;
        }
        let word =
            ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            out.extend_from_slice(b"null");
            nonfinite = true;
            at += word.len();
        } else {
            in_text = rest[0] == b'"';
            out.push(rest[0]);
            at += 1;
        }
    }
    let notes = [(nonfinite, Note::Nonfinite), (lone, Note::LoneSurrogate)];
    (out, notes.into_iter().filter_map(|(found, note)| found.then_some(note)).collect())
}

/// How many bytes the `\u` escape at the start takes, and whether it stands for a character: a high
/// surrogate takes the low one after it along.
fn escape(rest: &[u8]) -> (usize, bool) {
    let unit = |bytes: &[u8]| -> Option<u16> {
        let digits = bytes.get(2..6).filter(|_| bytes.starts_with(b"\\u"))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(rest) {
        Some(0xd800..=0xdbff) => match unit(&rest[6..]) {
            Some(0xdc00..=0xdfff) => (12, true),
            _ => (6, false),
        },
        Some(0xdc00..=0xdfff) => (6, false),
        // No escape at all: strict parsing names it.
        Some(_) | None => (2, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(text: &str) -> (Value, Vec<Note>) {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_that_are_none_become_null_outside_texts_only() {
        let (value, notes) = parsed(r#"{"a": NaN, "b": [-Infinity, Infinity, -1], "c": "NaN \" Infinity"}"#);
        assert_eq!(value, json!({"a": null, "b": [null, null, -1], "c": "NaN \" Infinity"}));
        assert_eq!(notes, [Note::Nonfinite]);
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character_and_whole_pairs_stay() {
        let (value, notes) =
            parsed(r#"["x\ud83d", "\ude00y", "\ud83d\ude00", "\ud83d\ud83d\ude00", "\\ud83d", "é\u00e9"]"#);
        let expected = ["x\u{fffd}", "\u{fffd}y", "😀", "\u{fffd}😀", "\\ud83d", "éé"];
        assert_eq!(value, json!(expected));
        assert_eq!(notes, [Note::LoneSurrogate]);
    }

    #[test]
    fn what_is_no_json_either_way_is_an_error() {
        for text in ["{\"a\": nan}", "{\"a\": \"\\u12\"}", "{\"a\": NaN", "[1,]"] {
            assert!(parse::<Value>(text.as_bytes()).is_err(), "{text}");
        }
        let cut = parse::<Value>(b"{\"a\": NaN").unwrap_err();
        assert!(words(&cut).starts_with("the JSON is cut off"), "{cut}");
    }
}
