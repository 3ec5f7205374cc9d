//! Where in a completion the answer stands.

use serde::{Deserialize, Serialize};

/// Where in a completion the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// Behind the marker (`####`) on the same line, else the last number.
    Marker,
    /// In the last `\boxed{…}` or `\fbox{…}`, else behind the last "answer is", to the end of its sentence.
    Boxed,
    /// Behind the last `The answer is: `, to the first full stop that ends a line; else nowhere. So do WizardMath's
    /// scripts.
    Phrase,
    /// In what follows the last `boxed`, else behind the last `he answer is`, else in the output of the last
    /// program, else the last number; of that the first line. So does ToRA's parser.
    Tora,
}

impl Reading {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Marker, Self::Boxed, Self::Phrase, Self::Tora];

    /// Its name in files and on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Marker => "marker",
            Self::Boxed => "boxed",
            Self::Phrase => "phrase",
            Self::Tora => "tora",
        }
    }

    /// The part that holds the answer, and whether it stood where the reading looks first.
    pub(super) fn part<'a>(self, completion: &'a str, marker: &str) -> Option<(&'a str, bool)> {
        match self {
            Self::Marker => {
                let after = completion.split_once(marker).map(|(_, after)| first_line(after.trim_start()));
                after.map(|part| (part, true)).or_else(|| last_number(completion).map(|part| (part, false)))
            }
            Self::Boxed => boxed(completion).map(|part| (part, true)).or_else(|| {
                let (_, after) = completion.rsplit_once("nswer is")?;
                let sentence = after.trim_start_matches([':', ' ']);
                let end = sentence.find(". ").or_else(|| sentence.find('\n'));
                let part = sentence[..end.unwrap_or(sentence.len())].trim_end();
                Some((part.strip_suffix('.').unwrap_or(part), false))
            }),
            Self::Phrase => {
                let (_, after) = completion.rsplit_once("The answer is: ")?;
                let part = after.split(".\n").next().unwrap_or_default().trim();
                Some((part.strip_suffix('.').unwrap_or(part).trim_end(), true))
            }
            Self::Tora => {
                let (part, marked) = tora(completion)?;
                let part = first_line(part.trim_start());
                let part = part.strip_prefix(':').unwrap_or(part);
                let part = part.strip_suffix('.').unwrap_or(part);
                Some((part.strip_suffix('/').unwrap_or(part), marked))
            }
        }
    }
}

/// The content of the last box whose braces are closed.
pub(super) fn boxed(text: &str) -> Option<&str> {
    let at = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox"))?;
    let open = at + text[at..].find('{')?;
    let between = text[at..open].trim_start_matches("\\boxed").trim_start_matches("\\fbox");
    if !between.trim().is_empty() {
        return None;
    }
    braced(&text[open..])
}

/// What stands between the brace that `text` begins with and its partner.
pub(super) fn braced(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(&text[1..at]);
                }
            }
            _ => {}
        }
    }
    None
}

fn tora(text: &str) -> Option<(&str, bool)> {
    if let Some((_, after)) = text.rsplit_once("boxed") {
        let part = match after.starts_with('{') {
            true => braced(after).unwrap_or(&after[1..]),
            false => after.split('$').next().unwrap_or_default().trim(),
        };
        return Some((part, true));
    }
    if let Some((_, after)) = text.rsplit_once("he answer is") {
        return Some((after.trim(), false));
    }
    if let Some((_, after)) = text.rsplit_once("```output") {
        let output = after.split("```").next().unwrap_or_default().trim();
        if !output.is_empty() {
            return Some((output, false));
        }
    }
    last_number(text).map(|part| (part, false))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The last run of digits with its sign, point and separators.
fn last_number(text: &str) -> Option<&str> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let bytes = text.as_bytes();
    let mut start = end;
    while start > 0
        && (bytes[start - 1].is_ascii_digit()
            || matches!(bytes[start - 1], b'.' | b',')
                && start > 1
                && (bytes[start - 2].is_ascii_digit() || bytes[start - 1] == b'.'))
    {
        start -= 1;
    }
    if start > 0 && bytes[start - 1] == b'-' {
        start -= 1;
    }
    Some(&text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reading_looks_where_its_script_does() {
        let long = "First 2. The answer is: 7 apples.\nOr so.\nThe answer is: $\\frac{1}{2}$.\nThat is 0.5.";
        for (reading, text, part) in [
            (Reading::Marker, "so 3\n#### 4 km\n5", Some(("4 km", true))),
            (Reading::Marker, "so 3 of -1,200.5", Some(("-1,200.5", false))),
            (Reading::Boxed, "\\boxed{1} then \\boxed{\\frac{2}{3}} done", Some(("\\frac{2}{3}", true))),
            (Reading::Boxed, "\\fbox{9}", Some(("9", true))),
            (Reading::Boxed, "The answer is: $x = 3$. Because it is.", Some(("$x = 3$", false))),
            (Reading::Boxed, "\\boxed{never closed", None),
            (Reading::Boxed, "no box", None),
            (Reading::Phrase, long, Some(("$\\frac{1}{2}$", true))),
            (Reading::Phrase, "The answer is 7", None),
            (Reading::Tora, "\\boxed{3} or $\\boxed 4$", Some(("4", true))),
            (Reading::Tora, "```output\n12\n```\n", Some(("12", false))),
            (Reading::Tora, "```output\n12\n```\nThe answer is: 13.\nNo.", Some((" 13", false))),
            (Reading::Tora, "5 and -0.25 left", Some(("-0.25", false))),
            (Reading::Tora, "nothing", None),
        ] {
            assert_eq!(reading.part(text, "####"), part, "{reading:?}: {text}");
        }
    }
}
