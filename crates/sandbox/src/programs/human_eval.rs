//! HumanEval (Chen et al. 2021): a function's signature and docstring are continued, and the
//! result is called by the problem's `check`.

use serde::{Deserialize, Serialize};

use super::{plus, python};
use crate::Program;

/// Where generation ends: the function's body is over (Chen et al. 2021, section 2.1).
pub const STOP_SEQUENCES: [&str; 5] = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"];

/// A row of `HumanEval.jsonl`; fields that are not needed here are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For example `HumanEval/0`.
    pub task_id: String,
    /// Imports, signature and docstring.
    pub prompt: String,
    /// The function's name.
    pub entry_point: String,
    /// A body that passes.
    pub canonical_solution: String,
    /// Defines `check(candidate)`.
    pub test: String,
}

/// The completion up to the first of [`STOP_SEQUENCES`].
pub fn cut(completion: &str) -> &str {
    let end = STOP_SEQUENCES.iter().filter_map(|stop| completion.find(stop)).min();
    &completion[..end.unwrap_or(completion.len())]
}

/// The program that decides about `completion`, which continues the prompt and is cut already
/// where it has to be: prompt, completion, test, and the call of `check`. HumanEval+ has the same form
/// ([`plus`](mod@super::plus)).
pub fn program(problem: &Problem, completion: &str) -> Program {
    let Problem { prompt, test, entry_point, .. } = problem;
    python(format!("{prompt}{completion}\n{}\ncheck({entry_point})\n", plus::test(test)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_ends_where_its_function_does() {
        assert_eq!(cut("    return 1\n\ndef other():\n    pass"), "    return 1\n");
        assert_eq!(cut("    return 1\n# said\nprint(2)"), "    return 1");
        assert_eq!(
            cut("    if x:\n        return 1\n    # why\n"),
            "    if x:\n        return 1\n    # why\n"
        );
        assert_eq!(cut("\nclass A: pass"), "");
        assert_eq!(cut(""), "");
    }

    #[test]
    fn the_program_is_prompt_completion_test_and_check() {
        let problem = Problem {
            task_id: "t".into(),
            prompt: "def one():\n".into(),
            entry_point: "one".into(),
            canonical_solution: String::new(),
            test: "def check(candidate):\n    assert candidate() == 1\n".into(),
        };
        assert_eq!(
            program(&problem, "    return 1").source,
            "def one():\n    return 1\ndef check(candidate):\n    assert candidate() == 1\n\ncheck(one)\n"
        );
    }
}
