//! One step of a small program: what it does, in words, in Python and here.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What a program works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A list of whole numbers.
    List(Vec<i64>),
    /// A whole number.
    Number(i64),
}

/// A step. Those that begin with a list may end in one or in a number; what ends in a number only number steps follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Every number plus this.
    AddToEach(i64),
    /// Every number times this.
    TimesEach(i64),
    /// The numbers greater than this.
    KeepOver(i64),
    /// The even numbers.
    KeepEven,
    /// The last number first.
    Reverse,
    /// The smallest number first.
    Sort,
    /// So many from the beginning.
    First(i64),
    /// Each number once, in the order of its first place.
    Distinct,
    /// The sum; 0 of none.
    Sum,
    /// How many there are.
    Count,
    /// The largest; 0 of none.
    Largest,
    /// The last; 0 of none.
    Last,
    /// Plus this.
    Add(i64),
    /// Times this.
    Times(i64),
    /// What is left after division by this, from 0 to one less.
    Remainder(i64),
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Expressions and comprehensions.
    Expressions,
    /// Loops and conditions.
    Loops,
}

impl Step {
    /// Whether it takes a list.
    pub fn takes_list(self) -> bool {
        !matches!(self, Self::Add(_) | Self::Times(_) | Self::Remainder(_))
    }

    /// Whether it gives a list.
    pub fn gives_list(self) -> bool {
        self.takes_list() && !matches!(self, Self::Sum | Self::Count | Self::Largest | Self::Last)
    }

    /// Whether it is one of those that a beginner's task seldom has (the heuristic that swaps a common
    /// requirement for a rarer one draws from these).
    pub fn is_rare(self) -> bool {
        matches!(
            self,
            Self::Distinct | Self::First(_) | Self::Largest | Self::Remainder(_) | Self::KeepOver(_)
        )
    }

    /// A step for a list or a number, with operands from 1 (2 for products and divisors) to `max`.
    pub fn draw(list: bool, max: i64, rng: &mut ChaCha8Rng) -> Self {
        let small = |rng: &mut ChaCha8Rng, least: i64| rng.random_range(least..=max.max(least));
        if !list {
            return match rng.random_range(0..3) {
                0 => Self::Add(small(rng, 1)),
                1 => Self::Times(small(rng, 2)),
                _ => Self::Remainder(small(rng, 2)),
            };
        }
        match rng.random_range(0..12) {
            0 => Self::AddToEach(small(rng, 1)),
            1 => Self::TimesEach(small(rng, 2)),
            2 => Self::KeepOver(small(rng, 1)),
            3 => Self::KeepEven,
            4 => Self::Reverse,
            5 => Self::Sort,
            6 => Self::First(small(rng, 2)),
            7 => Self::Distinct,
            8 => Self::Sum,
            9 => Self::Count,
            10 => Self::Largest,
            _ => Self::Last,
        }
    }

    /// In words, as it follows "then".
    pub fn words(self) -> String {
        match self {
            Self::AddToEach(n) => format!("add {n} to each number"),
            Self::TimesEach(n) => format!("multiply each number by {n}"),
            Self::KeepOver(n) => format!("keep the numbers over {n}"),
            Self::KeepEven => "keep the even numbers".to_owned(),
            Self::Reverse => "reverse the list".to_owned(),
            Self::Sort => "sort the list".to_owned(),
            Self::First(n) => format!("take the first {n} numbers"),
            Self::Distinct => "keep each number once".to_owned(),
            Self::Sum => "take the sum".to_owned(),
            Self::Count => "count the numbers".to_owned(),
            Self::Largest => "take the largest number or 0".to_owned(),
            Self::Last => "take the last number or 0".to_owned(),
            Self::Add(n) => format!("add {n}"),
            Self::Times(n) => format!("multiply by {n}"),
            Self::Remainder(n) => format!("take the remainder by {n}"),
        }
    }

    /// The step of these words.
    pub fn parse(words: &str) -> Option<Self> {
        Self::like(words).find(|step| step.words() == words)
    }

    /// Its line of Python, without loops or indentation.
    pub fn code(self) -> String {
        self.python(Style::Expressions).trim().to_owned()
    }

    /// The step of a line of Python as [`Step::code`] writes it.
    pub fn of_code(line: &str) -> Option<Self> {
        Self::like(line).find(|step| step.code() == line)
    }

    /// Every kind of step, with each of the numbers of a text as its operand.
    fn like(text: &str) -> impl Iterator<Item = Self> {
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        numbers.chain([0]).flat_map(|n: i64| {
            [
                Self::AddToEach(n),
                Self::TimesEach(n),
                Self::KeepOver(n),
                Self::KeepEven,
                Self::Reverse,
                Self::Sort,
                Self::First(n),
                Self::Distinct,
                Self::Sum,
                Self::Count,
                Self::Largest,
                Self::Last,
                Self::Add(n),
                Self::Times(n),
                Self::Remainder(n),
            ]
        })
    }

    /// What it makes of a value; `None` where it does not fit, or a number outgrows 64 bits.
    pub fn apply(self, value: Value) -> Option<Value> {
        let each = |list: Vec<i64>, change: &dyn Fn(i64) -> Option<i64>| {
            list.into_iter().map(change).collect::<Option<Vec<i64>>>().map(Value::List)
        };
        match (self, value) {
            (Self::AddToEach(n), Value::List(list)) => each(list, &|x| x.checked_add(n)),
            (Self::TimesEach(n), Value::List(list)) => each(list, &|x| x.checked_mul(n)),
            (Self::KeepOver(n), Value::List(list)) => {
                Some(Value::List(list.into_iter().filter(|x| *x > n).collect()))
            }
            (Self::KeepEven, Value::List(list)) => {
                Some(Value::List(list.into_iter().filter(|x| x % 2 == 0).collect()))
            }
            (Self::Reverse, Value::List(list)) => Some(Value::List(list.into_iter().rev().collect())),
            (Self::Sort, Value::List(mut list)) => {
                list.sort_unstable();
                Some(Value::List(list))
            }
            (Self::First(n), Value::List(mut list)) => {
                list.truncate(usize::try_from(n).ok()?);
                Some(Value::List(list))
            }
            (Self::Distinct, Value::List(list)) => {
                let mut seen = std::collections::HashSet::new();
                Some(Value::List(list.into_iter().filter(|x| seen.insert(*x)).collect()))
            }
            (Self::Sum, Value::List(list)) => {
                list.iter().try_fold(0i64, |sum, x| sum.checked_add(*x)).map(Value::Number)
            }
            (Self::Count, Value::List(list)) => i64::try_from(list.len()).ok().map(Value::Number),
            (Self::Largest, Value::List(list)) => {
                Some(Value::Number(list.iter().copied().max().unwrap_or(0)))
            }
            (Self::Last, Value::List(list)) => Some(Value::Number(list.last().copied().unwrap_or(0))),
            (Self::Add(n), Value::Number(x)) => x.checked_add(n).map(Value::Number),
            (Self::Times(n), Value::Number(x)) => x.checked_mul(n).map(Value::Number),
            (Self::Remainder(n), Value::Number(x)) => x.checked_rem_euclid(n).map(Value::Number),
            _ => None,
        }
    }

    /// Its lines of Python, each with the indentation of a function's body; the value is `x` before and after.
    pub fn python(self, style: Style) -> String {
        let looped = |start: &str, body: &str| format!("    y = {start}\n    for n in x:\n{body}    x = y\n");
        let line = |expression: &str| format!("    x = {expression}\n");
        match (self, style) {
            (Self::AddToEach(k), Style::Loops) => looped("[]", &format!("        y.append(n + {k})\n")),
            (Self::TimesEach(k), Style::Loops) => looped("[]", &format!("        y.append(n * {k})\n")),
            (Self::KeepOver(k), Style::Loops) => {
                looped("[]", &format!("        if n > {k}:\n            y.append(n)\n"))
            }
            (Self::KeepEven, Style::Loops) => {
                looped("[]", "        if n % 2 == 0:\n            y.append(n)\n")
            }
            (Self::Distinct, Style::Loops) => {
                looped("[]", "        if n not in y:\n            y.append(n)\n")
            }
            (Self::Sum, Style::Loops) => looped("0", "        y = y + n\n"),
            (Self::Count, Style::Loops) => looped("0", "        y = y + 1\n"),
            (Self::Last, Style::Loops) => looped("0", "        y = n\n"),
            (Self::AddToEach(k), Style::Expressions) => line(&format!("[n + {k} for n in x]")),
            (Self::TimesEach(k), Style::Expressions) => line(&format!("[n * {k} for n in x]")),
            (Self::KeepOver(k), Style::Expressions) => line(&format!("[n for n in x if n > {k}]")),
            (Self::KeepEven, Style::Expressions) => line("[n for n in x if n % 2 == 0]"),
            (Self::Distinct, Style::Expressions) => line("list(dict.fromkeys(x))"),
            (Self::Sum, Style::Expressions) => line("sum(x)"),
            (Self::Count, Style::Expressions) => line("len(x)"),
            (Self::Last, Style::Expressions) => line("x[-1] if x else 0"),
            (Self::Largest, _) => line("max(x) if x else 0"),
            (Self::Reverse, _) => line("x[::-1]"),
            (Self::Sort, _) => line("sorted(x)"),
            (Self::First(k), _) => line(&format!("x[:{k}]")),
            (Self::Add(k), _) => line(&format!("x + {k}")),
            (Self::Times(k), _) => line(&format!("x * {k}")),
            (Self::Remainder(k), _) => line(&format!("x % {k}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_words_and_by_its_code() {
        let mut rng = rand::SeedableRng::seed_from_u64(1);
        for at in 0..500 {
            let step = Step::draw(at % 4 > 0, 9, &mut rng);
            assert_eq!((Step::parse(&step.words()), Step::of_code(&step.code())), (Some(step), Some(step)));
        }
        assert_eq!((Step::parse("sort the sum"), Step::of_code("x = y")), (None, None));
    }

    #[test]
    fn steps_do_what_they_say() {
        let list = || Value::List(vec![3, -2, 4, 3]);
        for (step, expected) in [
            (Step::AddToEach(1), Value::List(vec![4, -1, 5, 4])),
            (Step::TimesEach(2), Value::List(vec![6, -4, 8, 6])),
            (Step::KeepOver(3), Value::List(vec![4])),
            (Step::KeepEven, Value::List(vec![-2, 4])),
            (Step::Reverse, Value::List(vec![3, 4, -2, 3])),
            (Step::Sort, Value::List(vec![-2, 3, 3, 4])),
            (Step::First(2), Value::List(vec![3, -2])),
            (Step::Distinct, Value::List(vec![3, -2, 4])),
            (Step::Sum, Value::Number(8)),
            (Step::Count, Value::Number(4)),
            (Step::Largest, Value::Number(4)),
            (Step::Last, Value::Number(3)),
        ] {
            assert_eq!(step.apply(list()), Some(expected), "{step:?}");
        }
        assert_eq!(Step::Remainder(3).apply(Value::Number(-1)), Some(Value::Number(2)));
        assert_eq!(Step::Largest.apply(Value::List(vec![])), Some(Value::Number(0)));
        assert_eq!(Step::Sum.apply(Value::Number(1)), None);
        assert_eq!(Step::Times(2).apply(Value::Number(i64::MAX)), None);
        assert_eq!(Step::Remainder(0).apply(Value::Number(1)), None);
    }
}
