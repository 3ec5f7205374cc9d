//! Prompts with slots, filled in one pass so that a filled text is never read as a slot.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The instruction that is evolved or rated.
    Instruction,
    /// How the instruction is to be made harder.
    Method,
    /// The form of the data that is added: `JSON data`.
    DataFormat,
    /// The earlier of two instructions.
    First,
    /// The later of two instructions.
    Second,
}

const SLOTS: [(&str, Slot); 6] = [
    ("instruction", Slot::Instruction),
    ("question", Slot::Instruction),
    ("method", Slot::Method),
    ("data_format", Slot::DataFormat),
    ("first", Slot::First),
    ("second", Slot::Second),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// A prompt with slots such as `{instruction}`. Braces around anything else are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Template(Vec<Piece>);

impl Template {
    /// Whether the prompt has the slot.
    pub fn has(&self, slot: Slot) -> bool {
        self.0.contains(&Piece::Slot(slot))
    }

    /// Whether the prompt has any slot.
    pub fn has_slots(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Slot(_)))
    }

    /// The prompt with its slots filled; a slot without a value stays as it is written.
    pub fn fill(&self, values: &[(Slot, &str)]) -> String {
        let value = |slot| values.iter().find(|(named, _)| *named == slot).map(|(_, value)| *value);
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Slot(slot) => value(*slot).map_or_else(|| written(*slot), str::to_owned),
            })
            .collect()
    }

    /// The same prompt with one slot filled for good.
    pub fn with(&self, slot: Slot, value: &str) -> Self {
        let piece = |piece: &Piece| match piece {
            Piece::Slot(found) if *found == slot => Piece::Text(value.to_owned()),
            piece => piece.clone(),
        };
        Self(self.0.iter().map(piece).collect())
    }

    /// A text without slots, braces and all.
    pub fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// One prompt after the other.
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }
}

fn written(slot: Slot) -> String {
    let name = SLOTS.iter().find(|(_, named)| *named == slot).map_or("", |(name, _)| name);
    format!("{{{name}}}")
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            plain.push_str(before);
            let named = SLOTS.iter().find_map(|(name, slot)| {
                from[1..].strip_prefix(name)?.strip_prefix('}').map(|rest| (*slot, rest))
            });
            if let Some((slot, after)) = named {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Slot(slot));
                rest = after;
            } else {
                plain.push('{');
                rest = &from[1..];
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self(pieces)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fill(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_a_slot_is_not_read_again() {
        let template = Template::from("Make {instruction} harder by {method}; keep {braces} {");
        let filled = template.fill(&[(Slot::Instruction, "{method}"), (Slot::Method, "more steps")]);
        assert_eq!(filled, "Make {method} harder by more steps; keep {braces} {");
        assert_eq!(template.to_string(), "Make {instruction} harder by {method}; keep {braces} {");
        assert_eq!(
            template.with(Slot::Method, "{instruction}").fill(&[(Slot::Instruction, "x")]),
            "Make x harder by {instruction}; keep {braces} {"
        );
    }
}
