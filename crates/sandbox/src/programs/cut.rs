//! Where published scripts end a completion, each rule by its name.
//!
//! Chat models write around the function they were asked for: a greeting, fences, a call of the function, tests.
//! Whether these run decides whether the function counts, so a score is to name the rules that made it.
//! WizardCoder's `process_humaneval.py`, `process_mbpp.py` and `mbppplus_process_preds.py` apply them in the order of
//! [`Cut::WIZARDCODER_HUMANEVAL`] and the lists after it; what each leaves is trimmed, as there.

use serde::{Deserialize, Serialize};

use super::human_eval;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// What stands before and with the last `### Response:` goes: files that keep the prompt in front.
    Response,
    /// Carriage returns go.
    CarriageReturns,
    /// From behind the first fence of Python to the next three backticks; to the end where there are none.
    PythonFence,
    /// The same to the next three backticks at the beginning of a line.
    PythonFenceLine,
    /// What begins with `if __name__ == "__main__":` goes. With other quotes it stays: so in the scripts.
    MainGuard,
    /// What begins with `# Example usage` goes.
    ExampleUsage,
    /// What begins with `# Test examples` goes.
    TestExamples,
    /// What begins with the first `assert` goes, were it within a word.
    Asserts,
    /// What begins with one of [`human_eval::STOP_SEQUENCES`] goes: generation would have ended there.
    StopSequences,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Response,
        Self::CarriageReturns,
        Self::PythonFence,
        Self::PythonFenceLine,
        Self::MainGuard,
        Self::ExampleUsage,
        Self::TestExamples,
        Self::Asserts,
        Self::StopSequences,
    ];
    /// Those of WizardCoder's `process_humaneval.py`, which evol-teacher has too.
    pub const WIZARDCODER_HUMANEVAL: [Self; 4] =
        [Self::CarriageReturns, Self::PythonFence, Self::MainGuard, Self::ExampleUsage];
    /// Those of its `process_mbpp.py`.
    pub const WIZARDCODER_MBPP: [Self; 4] =
        [Self::PythonFenceLine, Self::MainGuard, Self::ExampleUsage, Self::TestExamples];
    /// Those of its `mbppplus_process_preds.py`.
    pub const WIZARDCODER_MBPP_PLUS: [Self; 5] =
        [Self::CarriageReturns, Self::PythonFenceLine, Self::MainGuard, Self::ExampleUsage, Self::Asserts];

    /// Its name in files and on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::CarriageReturns => "carriage-returns",
            Self::PythonFence => "python-fence",
            Self::PythonFenceLine => "python-fence-line",
            Self::MainGuard => "main-guard",
            Self::ExampleUsage => "example-usage",
            Self::TestExamples => "test-examples",
            Self::Asserts => "asserts",
            Self::StopSequences => "stop-sequences",
        }
    }

    /// What it leaves of a completion.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Response => text.rsplit("### Response:").next().unwrap_or_default().to_owned(),
            Self::CarriageReturns => text.replace('\r', ""),
            Self::PythonFence => within_fence(text, "```"),
            Self::PythonFenceLine => within_fence(text, "\n```"),
            Self::MainGuard => before(text, "if __name__ == \"__main__\":"),
            Self::ExampleUsage => before(text, "# Example usage"),
            Self::TestExamples => before(text, "# Test examples"),
            Self::Asserts => before(text, "assert"),
            Self::StopSequences => human_eval::cut(text).to_owned(),
        }
    }
}

/// A completion after all these rules, one after the other.
pub fn cut(completion: &str, rules: &[Cut]) -> String {
    rules.iter().fold(completion.to_owned(), |text, rule| rule.apply(&text))
}

fn before(text: &str, mark: &str) -> String {
    match text.find(mark) {
        Some(at) => text[..at].trim().to_owned(),
        None => text.to_owned(),
    }
}

/// The scripts take every opening fence of Python out before they look for one that closes.
fn within_fence(text: &str, close: &str) -> String {
    const OPEN: &str = "```python";
    let Some(at) = text.find(OPEN) else { return text.to_owned() };
    let inside = text[at..].trim().replace(OPEN, "");
    match inside.find(close) {
        Some(end) => inside[..end].trim().to_owned(),
        None => inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "Sure:\r\n```python\r\ndef f(x):\r\n    return x\r\n\r\n# Example usage\r\nprint(f(1))\r\n\
                         if __name__ == \"__main__\":\r\n    f(2)\r\n```\r\nThat is `f`.";

    #[test]
    fn each_rule_takes_what_it_is_named_for() {
        assert_eq!(cut(REPLY, &Cut::WIZARDCODER_HUMANEVAL), "def f(x):\n    return x");
        assert_eq!(Cut::MainGuard.apply("f()\nif __name__ == \"__main__\":\n    f()"), "f()");
        let other = "f()\nif __name__ == '__main__':\n    f()";
        assert_eq!(Cut::MainGuard.apply(other), other);
        assert_eq!(Cut::PythonFence.apply("```python\nx = '```'\ny\n```"), "x = '");
        assert_eq!(Cut::PythonFenceLine.apply("```python\nx = '```'\ny\n```"), "x = '```'\ny");
        assert_eq!(Cut::PythonFence.apply("say\n```python\nx = 1\n"), "\nx = 1");
        assert_eq!(Cut::PythonFence.apply("```\nx = 1\n```"), "```\nx = 1\n```");
        assert_eq!(Cut::TestExamples.apply("x = 1\n# Test examples\nf()"), "x = 1");
        assert_eq!(Cut::Asserts.apply("x = 1\nassert x"), "x = 1");
        assert_eq!(Cut::StopSequences.apply("    return 1\nprint(1)"), "    return 1");
        assert_eq!(Cut::Response.apply("Below.\n### Response:Yes\n### Response:No"), "No");
        for rule in Cut::ALL {
            assert_eq!(rule.apply(""), "", "{rule:?}");
            assert_eq!(cut("x = 1", &[rule]), "x = 1");
        }
    }

    #[test]
    fn names_are_those_of_files() {
        for rule in Cut::ALL {
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("{:?}", rule.name()));
        }
    }
}
