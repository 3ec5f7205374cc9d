//! Python's regular expressions, in which PEFT's settings are written.

use fancy_regex::{Captures, Regex};

/// A pattern as Python's `re` reads it: look-around and back references included.
#[derive(Debug)]
pub(crate) struct PythonRegex(Regex);

impl PythonRegex {
    /// For `re.fullmatch`: the whole text must match.
    ///
    /// # Errors
    /// One short line on what is wrong with the pattern.
    pub(crate) fn full(pattern: &str) -> Result<Self, String> {
        Self::around(r"\A(?:", pattern, r")\z")
    }

    /// The pattern between two of our own, which hold no group.
    ///
    /// # Errors
    /// As [`PythonRegex::full`].
    pub(crate) fn around(before: &str, pattern: &str, after: &str) -> Result<Self, String> {
        let pattern = translated(pattern);
        // A comment at the end of a verbose pattern would take what follows along.
        let end = if is_verbose(&pattern) { "\n" } else { "" };
        match Regex::new(&format!("{before}{pattern}{end}{after}")) {
            Ok(regex) => Ok(Self(regex)),
            // Alone the pattern gives the positions that its author counts.
            Err(error) => Err(short(&Regex::new(&pattern).err().unwrap_or(error))),
        }
    }

    /// Whether the pattern is found in `text`.
    ///
    /// # Errors
    /// When the search has no end in sight.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, String> {
        self.0.is_match(text).map_err(|error| short(&error))
    }

    /// The first place of the pattern in `text`.
    ///
    /// # Errors
    /// As [`PythonRegex::is_match`].
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Result<Option<Captures<'t>>, String> {
        self.0.captures(text).map_err(|error| short(&error))
    }
}

/// Whether the pattern begins with flags among which is `x`: white space and comments say nothing.
fn is_verbose(pattern: &str) -> bool {
    let flags = pattern.trim_start().strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    flags.is_some_and(|(flags, _)| flags.contains('x') && flags.chars().all(|c| c.is_ascii_alphabetic()))
}

/// The last line of an error says what is wrong; those before draw the pattern.
fn short(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_string()
}

/// The pattern in the dialect of the `fancy-regex` crate, where that differs from Python's:
/// `{` that opens no repetition and `[` inside a class are characters, `{,3}` begins at none,
/// and `\Z` is the very end.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let taken = match c {
            '\\' => {
                let escaped = after.chars().next().map_or(0, char::len_utf8);
                match &after[..escaped] {
                    "Z" if !in_class => out.push_str(r"\z"),
                    other => out.extend(["\\", other]),
                }
                1 + escaped
            }
            '[' if in_class => {
                out.push_str(r"\[");
                1
            }
            '[' => {
                in_class = true;
                // A bracket that closes at once is a member of the class.
                let opening = ["[^]", "[]", "[^"].into_iter().find(|o| rest.starts_with(o)).unwrap_or("[");
                out.push_str(&opening.replace(']', r"\]"));
                opening.len()
            }
            ']' => {
                in_class = false;
                out.push(']');
                1
            }
            // Set operations of the Rust dialect.
            '&' | '~' if in_class => {
                out.extend(['\\', c]);
                1
            }
            '{' if !in_class => match repetition(rest) {
                Some(counts) => {
                    let from = if counts.starts_with(',') { "0" } else { "" };
                    out.push_str(&format!("{{{from}{counts}}}"));
                    counts.len() + 2
                }
                None => {
                    out.push_str(r"\{");
                    1
                }
            },
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// What stands between the braces at the start of `text`, when it counts repetitions.
fn repetition(text: &str) -> Option<&str> {
    let counts = text[1..].split_once('}')?.0;
    let (from, to) = counts.split_once(',').unwrap_or((counts, "0"));
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (number(from) && number(to) && counts.bytes().any(|b| b.is_ascii_digit())).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(pattern: &str, text: &str) -> bool {
        PythonRegex::full(pattern).unwrap().is_match(text).unwrap()
    }

    #[test]
    fn pythons_dialect_is_understood() {
        for (pattern, text, expected) in [
            (r"^(?!.*(?:visual|vision)).*(?:q_proj|v_proj)", "model.layers.0.q_proj", true),
            (r"^(?!.*(?:visual|vision)).*(?:q_proj|v_proj)", "vision.layers.0.q_proj", false),
            (r".*(?<=self_attn\.)(?P<p>[qv])_proj\Z", "a.self_attn.q_proj", true),
            (r"(?P<x>a)(?P=x)", "aa", true),
            (r"(?i)A.*", "abc", true),
            (r"(?x) a b  # and so on", "ab", true),
            (r"a{,2}", "aa", true),
            (r"a{,2}", "aaa", false),
            (r"a{b}", "a{b}", true),
            (r"[[a]+", "a[a", true),
            (r"[]a]+", "a]", true),
            (r"[^]a]+", "bc", true),
            (r"[a&&b]+", "a&b", true),
            (r"(?>a+)b", "aab", true),
            (r"x|q_proj", "model.q_proj", false),
        ] {
            assert_eq!(full(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn an_error_is_one_short_line() {
        for pattern in ["(a", "a)", "*a", "[a", "(?P<n", r"\p{Nothing}"] {
            let message = PythonRegex::full(pattern).unwrap_err();
            assert!(!message.contains('\n') && message.len() < 120, "{pattern}: {message}");
        }
    }
}
