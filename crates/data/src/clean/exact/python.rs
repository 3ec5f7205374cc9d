//! Python's notions of space and numbers, which decide what FastChat strips.

/// Whether Python's `str.isspace` holds: Unicode white space, and the four separators U+001C to
/// U+001F.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip`.
pub fn rstrip(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// The value of a decimal digit of any script (Unicode category Nd), as `int` reads it.
///
/// Every run of Nd digits in Unicode is ten code points from 0 to 9, and each run begins where the
/// code point before it is no digit or the tenth of another run; the `regex` crate's table of Nd
/// knows which characters belong.
fn digit(c: char) -> Option<u32> {
    if let Some(value) = c.to_digit(10) {
        return Some(value);
    }
    if c.is_ascii() || !c.is_numeric() {
        return None;
    }
    DIGIT_ZEROS.iter().find_map(|zero| {
        let value = (c as u32).checked_sub(*zero)?;
        (value < 10).then_some(value)
    })
}

/// Whether `\d` matches.
pub fn is_digit(c: char) -> bool {
    digit(c).is_some()
}

/// `int(text)`: spaces around, a sign, digits with single underscores between them. `None` for a
/// `ValueError`; numbers beyond 128 bits count as one.
pub fn int(text: &str) -> Option<i128> {
    let text = strip(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value: i128 = 0;
    let mut after_digit = false;
    for c in digits.chars() {
        if c == '_' && after_digit {
            after_digit = false;
            continue;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit(c)?))?;
        after_digit = true;
    }
    after_digit.then_some(if negative { -value } else { value })
}

/// The zeros of every script's decimal digits (Unicode 14, that of CPython 3.11).
const DIGIT_ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30,
    0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0,
    0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];
