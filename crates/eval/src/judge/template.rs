//! Templates with placeholders, in the subset of Python's format strings that judge prompts use.

use std::collections::BTreeSet;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// A text with placeholders: `{name}` is one, `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence about a brace that is not closed or not opened, or a placeholder that is no plain
    /// name (Python's positions, attributes, conversions and formats are not understood).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err("a `}` that closes nothing; a brace itself is written `}}`".to_owned());
            }
            let Some(end) = after.find('}') else {
                return Err("a `{` that is not closed; a brace itself is written `{{`".to_owned());
            };
            let name = &after[..end];
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("`{{{name}}}` is no placeholder; expected a plain name"));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// The names of the placeholders.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        let names = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        });
        names.collect()
    }

    /// The text with every placeholder replaced; braces in what replaces it stay as they are.
    ///
    /// # Errors
    /// The name of a placeholder for which `value` has nothing.
    pub fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Placeholder(name) => text.push_str(value(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_nothing_else() {
        let template = Template::parse("Q: {question}\n{{json}} {answer}{answer}}}").unwrap();
        assert_eq!(template.placeholders().into_iter().collect::<Vec<_>>(), ["answer", "question"]);
        let filled = template.fill(|name| match name {
            "question" => Some("what is {answer}?"),
            "answer" => Some("{}"),
            _ => None,
        });
        assert_eq!(filled.unwrap(), "Q: what is {answer}?\n{json} {}{}}");
        assert_eq!(template.fill(|_| None).unwrap_err(), "question");
    }

    #[test]
    fn what_python_would_not_format_is_refused() {
        for (text, expected) in [
            ("a } b", "closes nothing"),
            ("a { b", "not closed"),
            ("{}", "`{}` is no placeholder"),
            ("{answer:>3}", "`{answer:>3}`"),
            ("{answer.text}", "`{answer.text}`"),
        ] {
            assert!(Template::parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
