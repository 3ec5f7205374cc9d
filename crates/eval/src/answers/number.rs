//! The number that an answer ends in.

/// A number read from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalNumber {
    /// Without separators, sign `+`, leading and trailing zeros: equal numbers are equal texts.
    pub value: String,
    /// Whether it followed the marker.
    pub marked: bool,
}

/// Reads the number after `marker` (`####` in GSM8K) on the same line, else the last number of
/// the text. Thousands separators, currency signs, percent signs and units are passed over:
/// `#### $1,200.50 dollars` gives 1200.5.
pub fn final_number(text: &str, marker: &str) -> Option<FinalNumber> {
    let marked = (!marker.is_empty())
        .then(|| text.split_once(marker))
        .flatten()
        .and_then(|(_, after)| numbers(after.lines().next().unwrap_or_default()).next());
    match marked {
        Some(value) => Some(FinalNumber { value, marked: true }),
        None => numbers(text).last().map(|value| FinalNumber { value, marked: false }),
    }
}

/// The first number of a text.
pub(super) fn first(text: &str) -> Option<String> {
    numbers(text).next()
}

/// The number that the whole text is.
pub(super) fn whole(text: &str) -> Option<String> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['-', '+', '−']).unwrap_or(text);
    let chars: Vec<char> = unsigned.chars().collect();
    let end = if chars.is_empty() { None } else { number_end(&chars, 0) };
    (end? == chars.len()).then(|| normalised(&chars, unsigned.len() < text.len() && !text.starts_with('+')))
}

/// The first number of a text as WizardMath's script takes it, by `[\-+]?\d*[\.,/]?\d+`: it goes on over one
/// point, comma or stroke. A comma is left out, a stroke divides (by zero: gives what is above it).
pub(super) fn with_one_separator(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let digits = |from: usize| chars[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    for start in 0..chars.len() {
        let sign = usize::from(matches!(chars[start], '-' | '+'));
        let middle = start + sign + digits(start + sign);
        let separator = chars.get(middle).copied().filter(|c| matches!(c, '.' | ',' | '/'));
        let after = if separator.is_some() { digits(middle + 1) } else { 0 };
        let end = if after > 0 { middle + 1 + after } else { middle };
        if end == start + sign {
            continue;
        }
        let found: String = chars[start..end].iter().filter(|c| **c != ',').collect();
        return match found.split_once('/') {
            Some((above, below)) => {
                let (above, below) = (above.parse::<f64>().ok()?, below.parse::<f64>().ok()?);
                Some((if below == 0.0 { above } else { above / below }).to_string())
            }
            None => whole(&found),
        };
    }
    None
}

/// What stands between groups of three digits: a comma, or a space that is not broken. An ordinary
/// space separates numbers (`2 100-page books`).
const SEPARATORS: [char; 4] = [',', '\u{a0}', '\u{2009}', '\u{202f}'];

/// Every number of a text, in order, normalised.
fn numbers(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < chars.len() {
            let start = at;
            if let Some(end) = number_end(&chars, start) {
                at = end;
                let negative = start > 0 && is_sign(&chars, start - 1);
                return Some(normalised(&chars[start..end], negative));
            }
            at += 1;
        }
        None
    })
}

/// Where a number that begins at `start` ends; `None` when none begins there.
fn number_end(chars: &[char], start: usize) -> Option<usize> {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    if !digit(start)
        && !(chars[start] == '.' && digit(start + 1) && (start == 0 || !chars[start - 1].is_alphanumeric()))
    {
        return None;
    }
    let mut end = start;
    while digit(end) {
        end += 1;
    }
    // Groups of exactly three digits belong to the number: `1,200`, but not the list `1,2`.
    if end > start && end - start <= 3 {
        let separator = |i: usize| chars.get(i).is_some_and(|c| SEPARATORS.contains(c));
        while separator(end) && (1..=3).all(|i| digit(end + i)) && !digit(end + 4) {
            end += 4;
        }
    }
    if chars.get(end) == Some(&'.') && digit(end + 1) {
        end += 1;
        while digit(end) {
            end += 1;
        }
    }
    Some(end)
}

/// Whether the character at `i` is a minus sign before a number, not between two: `-3`, `$-3`,
/// `= -3`, but not `5-3`. A currency sign may stand between: `-$3`.
fn is_sign(chars: &[char], mut i: usize) -> bool {
    if matches!(chars[i], '$' | '€' | '£') {
        if i == 0 {
            return false;
        }
        i -= 1;
    }
    matches!(chars[i], '-' | '−') && (i == 0 || !(chars[i - 1].is_alphanumeric() || chars[i - 1] == ')'))
}

fn normalised(digits: &[char], negative: bool) -> String {
    let plain: String = digits.iter().filter(|c| !SEPARATORS.contains(c)).collect();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let value = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    if negative && value != "0" { format!("-{value}") } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_number_is_read() {
        for (text, value, marked) in [
            ("6 + 6 = 12\n#### 12", "12", true),
            ("####72", "72", true),
            ("#### $1,234,567.50 dollars", "1234567.5", true),
            ("#### 1,000", "1000", true),
            ("#### 1\u{202f}000\u{a0}000 km", "1000000", true),
            ("#### 5%", "5", true),
            ("#### 3 apples and 4 pears\n#### 9", "3", true),
            ("#### -17", "-17", true),
            ("#### −17", "-17", true),
            ("#### -$5", "-5", true),
            ("#### +4", "4", true),
            ("#### 0.50", "0.5", true),
            ("#### 007", "7", true),
            ("#### 12.00", "12", true),
            ("#### .5", "0.5", true),
            ("#### -0", "0", true),
            ("She pays 3 coins. The answer is 42.", "42", false),
            ("The answer is 1,200 miles, not more.", "1200", false),
            ("The rest is 5-3", "3", false),
            ("x = (4)-3", "3", false),
            ("choose 1,2 or 3,4", "4", false),
            ("12,3456", "3456", false),
            ("1234,567", "567", false),
            ("v1.2.3", "3", false),
            ("#### none, so 8\nor 9", "8", true),
            ("It is 8.\n#### unknown", "8", false),
        ] {
            let expected = FinalNumber { value: value.into(), marked };
            assert_eq!(final_number(text, "####"), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_number_may_be_the_whole_text_or_end_at_its_second_separator() {
        for (text, value) in [("-1,200.50", Some("-1200.5")), (" +3 ", Some("3")), ("3 km", None), ("", None)]
        {
            assert_eq!(whole(text).as_deref(), value, "{text}");
        }
        for (text, value) in [
            ("1,234,567 miles", Some("1234")),
            ("1,234.50", Some("1234")),
            ("so -3/4", Some("-0.75")),
            ("7/0", Some("7")),
            ("12.5%", Some("12.5")),
            ("$.5", Some("0.5")),
            ("5-3", Some("5")),
            ("about - nothing", None),
            ("", None),
        ] {
            assert_eq!(with_one_separator(text).as_deref(), value, "{text}");
        }
        assert_eq!(first("3 of 4").as_deref(), Some("3"));
    }

    #[test]
    fn a_text_without_a_number_has_none() {
        for text in ["", "no number", "####", "#### - . , $"] {
            assert_eq!(final_number(text, "####"), None, "{text}");
        }
    }
}
