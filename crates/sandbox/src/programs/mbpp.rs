//! MBPP (Austin et al. 2021): a function is written from a sentence and judged by assertions.

use serde::{Deserialize, Serialize};

use super::{plus, python};
use crate::Program;

/// A row of `mbpp.jsonl`; fields that are not needed here are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// 1 to 974; 11 to 510 are the test split.
    pub task_id: u32,
    /// What is asked for. The sanitised set calls it `prompt`.
    #[serde(alias = "prompt")]
    pub text: String,
    /// A solution that passes.
    pub code: String,
    /// Code that the assertions need, and that may itself need the solution's definitions.
    #[serde(default)]
    pub test_setup_code: String,
    /// The sanitised set's imports for the assertions.
    #[serde(default)]
    pub test_imports: Vec<String>,
    /// Assertions.
    pub test_list: Vec<String>,
    /// MBPP+'s test, which holds those and many more.
    #[serde(default)]
    pub test: Option<String>,
}

/// The program that decides about `code`: code, set-up, assertions or, where there is one, MBPP+'s test.
pub fn program(problem: &Problem, code: &str) -> Program {
    let set_up = std::iter::once(problem.test_setup_code.as_str());
    let imports = problem.test_imports.iter().map(String::as_str);
    let whole = problem.test.as_deref().map(plus::test);
    let listed = if whole.is_none() { &problem.test_list[..] } else { &[] };
    let tests = listed.iter().map(String::as_str).chain(whole.as_deref());
    let parts = std::iter::once(code).chain(set_up).chain(imports).chain(tests);
    let lines: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    python(format!("{}\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_sets_are_read() {
        let full = r#"{"text": "t", "code": "c", "task_id": 11, "test_setup_code": "",
            "test_list": ["assert f() == 1"], "challenge_test_list": []}"#;
        let sanitised = r#"{"source_file": "s", "task_id": 2, "prompt": "p", "code": "c",
            "test_imports": ["import math"], "test_list": ["assert f() == 1", "assert f() == 2"]}"#;
        let plus =
            sanitised.replace("\"test_list\"", "\"test\": \"for x in [1]: assert f()\", \"test_list\"");
        let plus: Problem = serde_json::from_str(&plus).unwrap();
        let expected = "def f(): return 1\nimport math\nfor x in [1]: assert f()\n";
        assert_eq!(program(&plus, "def f(): return 1").source, expected);
        let full: Problem = serde_json::from_str(full).unwrap();
        let sanitised: Problem = serde_json::from_str(sanitised).unwrap();
        assert_eq!(program(&full, "def f(): return 1").source, "def f(): return 1\nassert f() == 1\n");
        assert_eq!(
            program(&sanitised, "def f(): return 1").source,
            "def f(): return 1\nimport math\nassert f() == 1\nassert f() == 2\n"
        );
    }
}
