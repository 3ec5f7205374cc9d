//! Whether an answer is the right one.

use super::{AnswerKind, Grading, Leniency, latex, notation, number};

/// By how much numbers may differ under `close`, as a share of the larger (`isclose` of both graders).
const CLOSE: f64 = 1e-4;
/// The same of constants under `value`.
const SAME_VALUE: f64 = 1e-3;
/// By how much equal numbers differ in binary at most.
const ROUND_OFF: f64 = 1e-12;

impl Grading {
    /// Whether `found` is right where `gold` is, both as [`Grading::read`] or [`Grading::take`] give them.
    pub fn equal(&self, found: &str, gold: &str) -> bool {
        if found == gold {
            return true;
        }
        match self.kind {
            AnswerKind::Number => match (found.parse(), gold.parse()) {
                (Ok(found), Ok(gold)) => self.close_numbers(found, gold),
                _ => false,
            },
            AnswerKind::Expression => self.equal_expressions(found, gold, 0),
        }
    }

    fn equal_expressions(&self, found: &str, gold: &str, depth: usize) -> bool {
        let plain = |text: &str| match self.allows(Leniency::Decoration) {
            true => notation::undecorated(text),
            false => text.trim().to_owned(),
        };
        let (mut found, mut gold) = (plain(found), plain(gold));
        if self.allows(Leniency::Notation) {
            let strict = self.allows(Leniency::Unreadable);
            match (notation::normal(&found, strict), notation::normal(&gold, strict)) {
                (Some(a), Some(b)) => (found, gold) = (a, b),
                (None, _) if strict => return true,
                // As MATH's authors: what cannot be normalised is compared as it stands.
                _ => {}
            }
        }
        if found == gold {
            return true;
        }
        if found.is_empty() || gold.is_empty() {
            return false;
        }
        if self.allow.iter().any(|leniency| leniency.of_numbers())
            && let (Some(a), Some(b)) = (number::whole(&found), number::whole(&gold))
            && let (Ok(a), Ok(b)) = (a.parse(), b.parse())
        {
            return self.close_numbers(a, b);
        }
        self.allows(Leniency::Brackets) && without_brackets(&found, &gold)
            || self.allows(Leniency::Elements) && depth < 4 && self.equal_elements(&found, &gold, depth)
            || self.allows(Leniency::Value) && same_value(&found, &gold)
    }

    fn equal_elements(&self, found: &str, gold: &str, depth: usize) -> bool {
        let Some((a, b)) = inner(found, ['[', ']'])
            .zip(inner(gold, ['[', ']']))
            .or_else(|| inner(found, ['(', ')']).zip(inner(gold, ['(', ')'])))
        else {
            return false;
        };
        let (a, b): (Vec<&str>, Vec<&str>) = (a.split(',').collect(), b.split(',').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.equal_expressions(a, b, depth + 1))
    }

    fn close_numbers(&self, found: f64, gold: f64) -> bool {
        let tolerance = if self.allows(Leniency::Close) { CLOSE } else { ROUND_OFF };
        let rounded = |number: f64| match number {
            n if self.allows(Leniency::RoundWhole) => n.round_ties_even(),
            n if self.allows(Leniency::Round3) => (n * 1000.0).round_ties_even() / 1000.0,
            n => n,
        };
        let golds = [gold, gold / 100.0, gold * 100.0];
        let golds = if self.allows(Leniency::Percent) { &golds[..] } else { &golds[..1] };
        golds.iter().any(|gold| within(rounded(found), rounded(*gold), tolerance))
    }
}

fn within(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * a.abs().max(b.abs())
}

fn same_value(found: &str, gold: &str) -> bool {
    latex::constant(found)
        .zip(latex::constant(gold))
        .is_some_and(|(found, gold)| within(found, gold, SAME_VALUE))
}

/// What stands between these brackets.
fn inner(text: &str, [open, close]: [char; 2]) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// Whether both are the same without braces, parentheses and, where neither is a closed interval against an open
/// one, square brackets at the ends.
fn without_brackets(found: &str, gold: &str) -> bool {
    let round = inner(found, ['(', ')']).is_some() && !gold.starts_with('[');
    let square = inner(found, ['[', ']']).is_some() && !gold.starts_with('(');
    let bare = |text: &str| {
        let text = if round || square { text.trim_matches(['[', ']', '(', ')']) } else { text };
        text.replace(['{', '}', '(', ')'], "")
    };
    bare(found) == bare(gold)
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;

    fn allowing(kind: AnswerKind, allow: &[Leniency]) -> Grading {
        Grading { allow: allow.iter().copied().collect(), ..Protocol::Camelid.grading(kind) }
    }

    #[test]
    fn a_leniency_of_numbers_is_what_makes_each_pair_equal() {
        use Leniency::*;
        for (found, gold, lenient) in [
            ("1.5", "2", &[RoundWhole][..]),
            ("3.3334", "3.333", &[RoundWhole, Round3]),
            ("3.666", "3.6663", &[RoundWhole, Round3, Close]),
            ("3333.2", "3333.4", &[RoundWhole, Close]),
            ("0.05", "5", &[Percent]),
            ("0.7", "70", &[Percent]),
            ("700", "7", &[Percent]),
            ("17", "18", &[]),
        ] {
            assert!(!allowing(AnswerKind::Number, &[]).equal(found, gold), "{found} {gold}");
            for one in [RoundWhole, Round3, Close, Percent] {
                let equal = allowing(AnswerKind::Number, &[one]).equal(found, gold);
                assert_eq!(equal, lenient.contains(&one), "{found} {gold} {one:?}");
            }
        }
        assert!(allowing(AnswerKind::Number, &[]).equal("18", "18"));
    }

    #[test]
    fn a_leniency_of_expressions_is_what_makes_each_pair_equal() {
        use Leniency::*;
        let all = [Notation, Decoration, Brackets, Elements, Value, Unreadable];
        for (found, gold, needed) in [
            ("\\dfrac12", "\\frac{1}{2}", &[Notation][..]),
            ("$7$", "7", &[Decoration]),
            ("{7}", "7", &[Brackets]),
            ("(1,\\frac{2}{4})", "(1,\\frac{1}{2})", &[Elements, Value]),
            ("\\frac{2}{4}", "\\frac{1}{2}", &[Value]),
            ("x/2", "19", &[Notation, Unreadable]),
        ] {
            assert!(allowing(AnswerKind::Expression, needed).equal(found, gold), "{found} {gold} {needed:?}");
            assert!(allowing(AnswerKind::Expression, &all).equal(found, gold), "{found} {gold}");
            for missing in needed {
                let others: Vec<_> =
                    all.iter().copied().filter(|l| l != missing && *l != Unreadable).collect();
                // A constant in braces has its value too.
                let others: Vec<_> = others.into_iter().filter(|l| (*l, found) != (Value, "{7}")).collect();
                let spare = found == "\\dfrac12" || found == "$7$" && *missing != Decoration;
                assert!(
                    spare || !allowing(AnswerKind::Expression, &others).equal(found, gold),
                    "{found} {missing:?}"
                );
            }
        }
        let strict = allowing(AnswerKind::Expression, &[]);
        assert!(strict.equal("x", "x") && !strict.equal("x ^2", "x^2"));
        let all = allowing(AnswerKind::Expression, &Leniency::ALL);
        assert!(!all.equal("[1,2]", "(1,2)") && !all.equal("(1,2)", "(1,3)") && !all.equal("", "1"));
    }
}
