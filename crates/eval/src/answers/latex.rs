//! The value of a constant in LaTeX: numbers, fractions, roots, powers, π, sums and products.

/// How deep brackets may lie in each other.
const DEEPEST: usize = 32;

/// The value of a text that is nothing but a constant; `None` for anything else.
pub(super) fn constant(text: &str) -> Option<f64> {
    let text = text.replace("\\left", "").replace("\\right", "").replace("\\!", "").replace("\\,", "");
    let mut reader = Reader { rest: text.trim(), depth: 0 };
    let value = reader.sum()?;
    (reader.peek().is_none() && value.is_finite()).then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Option<f64> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value += self.product()?;
            } else if self.take("-") {
                value -= self.product()?;
            } else {
                self.depth -= 1;
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.signed()?;
        loop {
            if ["*", "\\cdot", "\\times"].iter().any(|sign| self.take(sign)) {
                value *= self.signed()?;
            } else if self.take("/") || self.take("\\div") {
                value /= self.signed()?;
            } else if matches!(self.peek(), Some('\\' | '(' | '{')) {
                value *= self.power()?;
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<f64> {
        let mut sign = 1.0;
        while let Some(c @ ('-' | '+')) = self.peek() {
            self.rest = &self.rest[1..];
            sign = if c == '-' { -sign } else { sign };
        }
        Some(sign * self.power()?)
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.atom()?;
        Some(if self.take("^") { base.powf(self.argument()?) } else { base })
    }

    fn atom(&mut self) -> Option<f64> {
        match self.peek()? {
            '(' => self.bracketed("(", ")"),
            '{' => self.bracketed("{", "}"),
            '0'..='9' | '.' => self.number(),
            _ if self.fraction_begins() => self.fraction(),
            _ if self.take("\\sqrt") => {
                let root = if self.peek() == Some('[') { self.bracketed("[", "]")? } else { 2.0 };
                Some(self.argument()?.powf(1.0 / root))
            }
            _ if self.take("\\pi") => Some(std::f64::consts::PI),
            _ => None,
        }
    }

    fn fraction_begins(&mut self) -> bool {
        ["\\frac", "\\dfrac", "\\tfrac", "\\cfrac"].iter().any(|command| self.take(command))
    }

    fn fraction(&mut self) -> Option<f64> {
        let above = self.argument()?;
        Some(above / self.argument()?)
    }

    fn bracketed(&mut self, open: &str, close: &str) -> Option<f64> {
        if !self.take(open) {
            return None;
        }
        let value = self.sum()?;
        self.take(close).then_some(value)
    }

    /// What a command or `^` applies to: braces, one digit, or another command.
    fn argument(&mut self) -> Option<f64> {
        match self.peek()? {
            digit @ '0'..='9' => {
                self.rest = &self.rest[1..];
                digit.to_digit(10).map(f64::from)
            }
            '{' => self.bracketed("{", "}"),
            '\\' if self.depth < DEEPEST => {
                self.depth += 1;
                let value = self.atom();
                self.depth -= 1;
                value
            }
            _ => None,
        }
    }

    /// Digits with point and groups of three; a fraction right behind whole digits makes a mixed number.
    fn number(&mut self) -> Option<f64> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut end = digits(self.rest);
        if (1..=3).contains(&end) {
            while self.rest[end..].starts_with(',') && digits(&self.rest[end + 1..]) == 3 {
                end += 4;
            }
        }
        let whole = !self.rest[end..].starts_with('.');
        if !whole {
            end += 1;
            end += digits(&self.rest[end..]);
        }
        let value: f64 = self.rest[..end].replace(',', "").parse().ok()?;
        self.rest = &self.rest[end..];
        let mixed = whole && ["\\frac{", "\\dfrac{", "\\tfrac{"].iter().any(|f| self.rest.starts_with(f));
        if mixed && self.fraction_begins() {
            return Some(value + self.fraction()?);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_their_value() {
        for (text, value) in [
            ("18", 18.0),
            ("1,234.5", 1234.5),
            (".5", 0.5),
            ("-\\frac{3}{4}", -0.75),
            ("\\frac12", 0.5),
            ("\\dfrac{1}{\\sqrt{4}}", 0.5),
            ("1\\frac{1}{2}", 1.5),
            ("2\\sqrt3", 2.0 * 3f64.sqrt()),
            ("\\sqrt[3]{27}", 3.0),
            ("2^{10} - 2^3", 1016.0),
            ("3 \\cdot (2 + 4) / 9", 2.0),
            ("\\left(1 - \\frac{1}{2}\\right)\\pi", std::f64::consts::FRAC_PI_2),
            ("- -3", 3.0),
        ] {
            let found = constant(text).unwrap_or_else(|| panic!("{text}"));
            assert!((found - value).abs() < 1e-12, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_no_constant_has_none() {
        let deep = "(".repeat(10_000) + "1";
        for text in
            ["", "x", "2x", "1 2 apples", "(1, 2)", "1/0", "\\frac{1}", "3 +", "\\sqrt{-1}", ".", &deep]
        {
            assert_eq!(constant(text), None, "{text}");
        }
    }
}
