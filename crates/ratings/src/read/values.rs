//! What a cell says: truth values, moments and objects, however programs write them.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value};

/// What programs write where they have no value, in lower case.
pub(super) const NO_VALUE: [&str; 6] = ["nan", "none", "null", "na", "n/a", "<na>"];
/// Spellings of true and false, in lower case.
const TRUE: [&str; 6] = ["true", "t", "yes", "y", "1", "on"];
const FALSE: [&str; 6] = ["false", "f", "no", "n", "0", "off"];
/// What [`truth`] understands, for messages.
pub(super) const TRUTHS: &str = "true or false (also t/f, yes/no, 1/0)";

/// A label as messages show it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// The truth value of a text.
pub(super) fn truth(text: &str) -> Option<bool> {
    let lower = text.trim().to_lowercase();
    // pandas writes a column of truth values with gaps as 1.0 and 0.0.
    let word = match lower.parse::<f64>() {
        Ok(1.0) => "1",
        Ok(0.0) => "0",
        _ => lower.as_str(),
    };
    if TRUE.contains(&word) {
        Some(true)
    } else if FALSE.contains(&word) {
        Some(false)
    } else {
        None
    }
}

/// FastChat's `conv_metadata`, which is an object, or text where a table cannot nest.
pub(super) enum Metadata<'a> {
    /// It is not there, or null.
    Missing,
    Object(Cow<'a, Map<String, Value>>),
    /// It is not understood, as it is shown.
    Unread(String),
}

impl<'a> Metadata<'a> {
    /// Of a cell that may hold an object's text.
    pub(super) fn of_text(text: &'a str) -> Self {
        match object(text) {
            Some(metadata) => Self::Object(Cow::Owned(metadata)),
            None if NO_VALUE.contains(&&text.trim().to_lowercase()[..]) || text.trim().is_empty() => {
                Self::Missing
            }
            None => Self::Unread(quoted(text)),
        }
    }
}

/// An object as JSON, or as Python prints a dictionary: pandas writes nested columns to CSV like that.
fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&json_of_repr(text)?).ok())
}

/// What Python's `repr` writes of dictionaries, lists, texts, numbers and truth values, as JSON.
fn json_of_repr(text: &str) -> Option<String> {
    let mut json = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let mut content = String::new();
                loop {
                    match letters.next()? {
                        end if end == letter => break,
                        '\\' => content.push(match letters.next()? {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            same @ ('\\' | '\'' | '"') => same,
                            _ => return None,
                        }),
                        other => content.push(other),
                    }
                }
                json += &Value::String(content).to_string();
            }
            digit if digit.is_ascii_digit() => {
                json.push(digit);
                while let Some(next) = letters.next_if(|c| c.is_ascii_alphanumeric() || ".+-".contains(*c)) {
                    json.push(next);
                }
            }
            word if word.is_ascii_alphabetic() => {
                let mut word = String::from(word);
                while let Some(next) = letters.next_if(char::is_ascii_alphanumeric) {
                    word.push(next);
                }
                json += match word.as_str() {
                    "True" => "true",
                    "False" => "false",
                    "None" | "nan" => "null",
                    _ => return None,
                };
            }
            other => json.push(other),
        }
    }
    Some(json)
}

/// Seconds since the Unix epoch of a number: seconds, or milli-, micro- or nanoseconds where as
/// seconds it would lie thousands of years ahead.
pub(super) fn seconds(number: f64) -> Option<f64> {
    if !number.is_finite() {
        return None;
    }
    Some(match number.abs() {
        n if n >= 1e17 => number / 1e9,
        n if n >= 1e14 => number / 1e6,
        n if n >= 1e11 => number / 1e3,
        _ => number,
    })
}

/// Dates with a time of day and no zone.
const MOMENTS: [&str; 8] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y%m%dT%H%M%S",
    "%a %b %e %H:%M:%S %Y",
    "%d %b %Y %H:%M:%S",
];
/// The same with an offset from UTC.
const ZONED: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M:%S%.f %#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%dT%H:%M%#z",
];
/// Dates alone.
const DATES: [&str; 6] = ["%Y-%m-%d", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d.%m.%Y"];

/// Seconds since the Unix epoch of a text: a number, or a date as ISO 8601, RFC 2822, pandas or
/// `date` write it; without a zone it is UTC.
pub(super) fn moment(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let exact = |time: DateTime<chrono::FixedOffset>| time.timestamp_micros() as f64 / 1e6;
    if let Ok(time) = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text)) {
        return Some(exact(time));
    }
    if let Some(time) = ZONED.iter().find_map(|format| DateTime::parse_from_str(text, format).ok()) {
        return Some(exact(time));
    }
    let bare = [" UTC", " GMT", "Z", "z"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    let naive = MOMENTS.iter().find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok());
    let naive = naive.or_else(|| {
        let date = DATES.iter().find_map(|format| NaiveDate::parse_from_str(bare, format).ok())?;
        date.and_hms_opt(0, 0, 0)
    })?;
    Some(naive.and_utc().timestamp_micros() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_has_many_spellings() {
        for text in ["true", "True", "TRUE", " t", "yes", "Y", "1", "1.0", "on"] {
            assert_eq!(truth(text), Some(true), "{text}");
        }
        for text in ["false", "False", "f", "NO", "0", "0.0", "off"] {
            assert_eq!(truth(text), Some(false), "{text}");
        }
        for text in ["", "maybe", "2", "-1", "none"] {
            assert_eq!(truth(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_the_same_however_it_is_written() {
        for text in [
            "1682351591",
            "1682351591000",
            "1682351591000000",
            "1682351591000000000",
            "2023-04-24 15:53:11",
            "2023-04-24T15:53:11Z",
            "2023-04-24T15:53:11.000000+00:00",
            "2023-04-24 17:53:11+0200",
            "2023-04-24 17:53:11 +02:00",
            "2023-04-24 15:53:11 UTC",
            "2023/04/24 15:53:11",
            "20230424T155311Z",
            "Mon, 24 Apr 2023 15:53:11 GMT",
            "Mon Apr 24 15:53:11 2023",
        ] {
            assert_eq!(moment(text), Some(1_682_351_591.0), "{text}");
        }
        assert_eq!(moment("2023-04-24"), Some(1_682_294_400.0));
        assert_eq!(moment("1682351591.25"), Some(1_682_351_591.25));
        for text in ["", "soon", "2023-13-01", "NaN"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
