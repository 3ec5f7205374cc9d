//! What counts as equal although it is not the same.

use serde::{Deserialize, Serialize};

/// One way in which a published script is lenient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leniency {
    /// A number goes on over one `,`, `.` or `/` only: 1,234,567 is 1,234, and 3/4 is 0.75.
    OneSeparator,
    /// Numbers are rounded to whole ones, half to even: 1.5 is 2.
    RoundWhole,
    /// Numbers are rounded to three places, half to even: 0.3333 is 0.333.
    #[serde(rename = "round-3")]
    Round3,
    /// Numbers may differ by a ten-thousandth of the larger.
    Close,
    /// The hundredth and the hundredfold of the right number are right too: 0.05 and 500 for 5.
    Percent,
    /// LaTeX is normalised as MATH's authors do: spaces, `\left`, `tfrac`, `\frac12`, `\sqrt3`, degrees, dollars,
    /// units at the end, a variable before `=`, `a/b`, 0.5 for a half.
    Notation,
    /// More is taken off: every `$` and `%`, `\text`, `\mbox{…}`, `\mathbf`, `x\in`, the full stop at the end, zeros
    /// behind a decimal point.
    Decoration,
    /// Braces and parentheses do not count, nor whether an interval is open: `(1,2]` is `1,2]`, `[1,2]` is `[1,2)`.
    Brackets,
    /// Tuples and intervals are compared element by element, each under the same leniencies.
    Elements,
    /// Constants are compared by value, to a thousandth: `\frac{\sqrt{4}}{3}` is `0.6667`. The scripts also compare formulas
    /// with variables, which is not done here.
    Value,
    /// An answer that `notation` cannot take apart is right, whatever it is. This is a mistake of WizardMath's
    /// `is_equiv`, which on an exception compares the answer with itself: `x/2` is right everywhere.
    Unreadable,
}

impl Leniency {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::OneSeparator,
        Self::RoundWhole,
        Self::Round3,
        Self::Close,
        Self::Percent,
        Self::Notation,
        Self::Decoration,
        Self::Brackets,
        Self::Elements,
        Self::Value,
        Self::Unreadable,
    ];

    /// Its name in files and on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneSeparator => "one-separator",
            Self::RoundWhole => "round-whole",
            Self::Round3 => "round-3",
            Self::Close => "close",
            Self::Percent => "percent",
            Self::Notation => "notation",
            Self::Decoration => "decoration",
            Self::Brackets => "brackets",
            Self::Elements => "elements",
            Self::Value => "value",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether it bears on numbers. What does not bear on an answer's kind changes nothing.
    pub fn of_numbers(self) -> bool {
        matches!(self, Self::OneSeparator | Self::RoundWhole | Self::Round3 | Self::Close | Self::Percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for leniency in Leniency::ALL {
            let written = serde_json::to_string(&leniency).unwrap();
            assert_eq!(written, format!("{:?}", leniency.name()));
        }
    }
}
